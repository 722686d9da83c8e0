//! Fonts that ship with the program: which one has a letter, how wide a text is, and where it may be broken.
//! Never a font of the machine: the same invoice gives the same bytes everywhere.
//! Used by the pages of a PDF.

use krilla::text::{Font, TextDirection};
use rustybuzz::{Direction, Face, UnicodeBuffer};
use unicode_bidi::BidiInfo;

use super::PdfError;

/// Latin, Greek and Cyrillic, plain and bold, then other scripts; a letter is taken from the first font that has it.
const FILES: [(Weight, &[u8]); 8] = [
    (Weight::Plain, include_bytes!("../../fonts/NotoSans-Regular.ttf")),
    (Weight::Bold, include_bytes!("../../fonts/NotoSans-Bold.ttf")),
    (Weight::Any, include_bytes!("../../fonts/NotoSansArabic-Regular.ttf")),
    (Weight::Any, include_bytes!("../../fonts/NotoSansHebrew-Regular.ttf")),
    (Weight::Any, include_bytes!("../../fonts/NotoSansDevanagari-Regular.ttf")),
    (Weight::Any, include_bytes!("../../fonts/NotoSansThai-Regular.ttf")),
    (Weight::Any, include_bytes!("../../fonts/DroidSansFallbackFull.ttf")),
    (Weight::Any, include_bytes!("../../fonts/NanumGothicCoding.ttf")),
];

/// How heavy letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Usual letters.
    Plain,
    /// Heavy letters.
    Bold,
    /// A font of one weight, for both.
    Any,
}

/// One font, for drawing and for measuring.
struct Loaded {
    weight: Weight,
    font: Font,
    face: Face<'static>,
}

/// All fonts.
pub(super) struct Fonts(Vec<Loaded>);

/// A part of a line in one font and one direction.
pub(super) struct Run<'a> {
    pub(super) text: &'a str,
    pub(super) font: Font,
    pub(super) direction: TextDirection,
    pub(super) width: f32,
}

impl Fonts {
    /// Reads the fonts that are part of the program.
    ///
    /// Errors: none in practice; a test reads them.
    pub(super) fn load() -> Result<Self, PdfError> {
        let load = |(weight, bytes): (Weight, &'static [u8])| {
            let font = Font::new(bytes.into(), 0).ok_or(PdfError::Font)?;
            let face = Face::from_slice(bytes, 0).ok_or(PdfError::Font)?;
            Ok(Loaded { weight, font, face })
        };
        FILES.into_iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    /// The parts of a line from left to right, as they are drawn.
    pub(super) fn runs<'a>(&self, text: &'a str, weight: Weight, size: f32) -> Vec<Run<'a>> {
        let bidi = BidiInfo::new(text, None);
        let mut runs = Vec::new();
        for paragraph in &bidi.paragraphs {
            let (levels, ordered) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for range in ordered {
                let is_rtl = levels.get(range.start).is_some_and(unicode_bidi::Level::is_rtl);
                let Some(part) = text.get(range) else { continue };
                let mut own = self.by_font(part, weight, (size, is_rtl));
                if is_rtl {
                    own.reverse();
                }
                runs.extend(own);
            }
        }
        runs
    }

    /// A text of one direction in parts of one font each.
    fn by_font<'a>(&self, text: &'a str, weight: Weight, (size, is_rtl): (f32, bool)) -> Vec<Run<'a>> {
        let mut runs = Vec::new();
        let (mut start, mut current) = (0, None);
        for (place, letter) in text.char_indices() {
            let wanted = match current {
                // Spaces and marks stay with what they follow.
                Some(index) if self.has(index, letter) || letter.is_whitespace() => index,
                _ => self.font_of(letter, weight),
            };
            if current.is_some_and(|index| index != wanted) {
                runs.extend(self.run(text.get(start..place), current, (size, is_rtl)));
                start = place;
            }
            current = Some(wanted);
        }
        runs.extend(self.run(text.get(start..), current, (size, is_rtl)));
        runs
    }

    fn run<'a>(
        &self,
        text: Option<&'a str>,
        font: Option<usize>,
        (size, is_rtl): (f32, bool),
    ) -> Option<Run<'a>> {
        let text = text.filter(|text| !text.is_empty())?;
        let loaded = self.0.get(font?)?;
        let direction = if is_rtl { TextDirection::RightToLeft } else { TextDirection::LeftToRight };
        Some(Run { text, font: loaded.font.clone(), direction, width: loaded.width(text, size, is_rtl) })
    }

    fn has(&self, index: usize, letter: char) -> bool {
        self.0.get(index).is_some_and(|loaded| loaded.face.glyph_index(letter).is_some())
    }

    /// The first font with this letter; the main font where none has it, which draws an empty box.
    fn font_of(&self, letter: char, weight: Weight) -> usize {
        let of_weight = |loaded: &Loaded| loaded.weight == weight || loaded.weight == Weight::Any;
        let all = || self.0.iter().enumerate().filter(|(_, loaded)| of_weight(loaded));
        let found = all().find(|(_, loaded)| loaded.face.glyph_index(letter).is_some());
        found.or_else(|| all().next()).map_or(0, |(index, _)| index)
    }

    /// Whether some font has a letter.
    #[cfg(test)]
    pub(super) fn knows(&self, letter: char) -> bool {
        self.0.iter().any(|loaded| loaded.face.glyph_index(letter).is_some())
    }

    /// How wide a text is on one line.
    pub(super) fn width(&self, text: &str, weight: Weight, size: f32) -> f32 {
        self.runs(text, weight, size).iter().map(|run| run.width).sum()
    }

    /// A text in lines of at most a width: broken between words, within a word only where it is too long for a line.
    pub(super) fn wrap(&self, text: &str, (weight, size): (Weight, f32), width: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_inclusive(' ') {
            let fits = |line: &str, more: &str| {
                self.width(format!("{line}{more}").trim_end(), weight, size) <= width
            };
            let last = lines.last().cloned().unwrap_or_default();
            if fits(&last, word) {
                extend(&mut lines, word);
                continue;
            }
            if !last.is_empty() {
                lines.push(String::new());
            }
            let mut rest = word;
            while !fits("", rest) {
                let cut = self.longest(rest, (weight, size), width);
                let (head, tail) = rest.split_at(cut);
                extend(&mut lines, head);
                lines.push(String::new());
                rest = tail;
            }
            extend(&mut lines, rest);
        }
        lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
    }

    /// How many bytes of a word fit one line: at least one letter.
    fn longest(&self, word: &str, (weight, size): (Weight, f32), width: f32) -> usize {
        let ends: Vec<usize> = word.char_indices().map(|(place, letter)| place + letter.len_utf8()).collect();
        let fits = |end: &usize| self.width(word.get(..*end).unwrap_or(word), weight, size) <= width;
        let count = ends.partition_point(fits).max(1);
        ends.get(count - 1).copied().unwrap_or(word.len())
    }
}

fn extend(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

impl Loaded {
    fn width(&self, text: &str, size: f32, is_rtl: bool) -> f32 {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(if is_rtl { Direction::RightToLeft } else { Direction::LeftToRight });
        let shaped = rustybuzz::shape(&self.face, &[], buffer);
        let units: i32 = shaped.glyph_positions().iter().map(|glyph| glyph.x_advance).sum();
        // Both are far below what a float of this size holds exactly.
        units as f32 / self.face.units_per_em() as f32 * size
    }
}
