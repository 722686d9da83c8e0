//! Pages on which texts and areas are placed, from top to bottom, before any of them is drawn.
//! Never an amount or a word of its own but the number of each page.
//! Used by the parts of each PDF.

use krilla::{
    Document,
    color::rgb,
    geom::{PathBuilder, Point, Rect},
    metadata::{DateTime, Metadata},
    page::PageSettings,
    paint::Fill,
};

use super::{
    PdfError,
    fonts::{Fonts, Weight},
};

/// A4. Unit: points, 72 to an inch.
pub(super) const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
/// Free on each side.
pub(super) const MARGIN: f32 = 48.0;
/// The right end of what is written.
pub(super) const RIGHT: f32 = WIDTH - MARGIN;
/// What is written ends above this; below it is the number of the page.
const BOTTOM: f32 = HEIGHT - 64.0;

/// Colours, as red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// What is to be read.
    Strong,
    /// What explains.
    Soft,
    /// Thin lines.
    Line,
    /// Areas behind texts.
    Shade,
    /// What catches the eye.
    Accent,
}

impl Ink {
    fn color(self) -> rgb::Color {
        let (red, green, blue) = match self {
            Self::Strong => (24, 28, 33),
            Self::Soft => (96, 102, 112),
            Self::Line => (214, 217, 223),
            Self::Shade => (244, 245, 248),
            Self::Accent => (38, 84, 160),
        };
        rgb::Color::new(red, green, blue)
    }
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) size: f32,
    pub(super) weight: Weight,
    pub(super) ink: Ink,
}

impl Style {
    pub(super) const BODY: Self = Self { size: 9.0, weight: Weight::Plain, ink: Ink::Strong };
    pub(super) const BOLD: Self = Self { weight: Weight::Bold, ..Self::BODY };
    pub(super) const SMALL: Self = Self { size: 7.5, weight: Weight::Plain, ink: Ink::Soft };
    pub(super) const LABEL: Self = Self { size: 7.5, weight: Weight::Bold, ink: Ink::Soft };
    pub(super) const NAME: Self = Self { size: 13.0, weight: Weight::Bold, ink: Ink::Strong };
    pub(super) const TITLE: Self = Self { size: 21.0, weight: Weight::Bold, ink: Ink::Accent };
    pub(super) const TOTAL: Self = Self { size: 11.0, weight: Weight::Bold, ink: Ink::Strong };

    /// From one line to the next.
    pub(super) fn leading(self) -> f32 {
        self.size * 1.4
    }
}

/// Something placed on a page; the origin is its upper left corner.
enum Mark {
    Text { x: f32, baseline: f32, style: Style, text: String },
    Area { left: f32, top: f32, width: f32, height: f32, ink: Ink },
}

/// All pages so far and the place at which the next thing goes.
pub(super) struct Canvas {
    pub(super) fonts: Fonts,
    pages: Vec<Vec<Mark>>,
    pub(super) y: f32,
}

impl Canvas {
    pub(super) fn new() -> Result<Self, PdfError> {
        Ok(Self { fonts: Fonts::load()?, pages: vec![Vec::new()], y: MARGIN })
    }

    fn put(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    /// Goes to a new page unless so much is free; says whether it did.
    pub(super) fn need(&mut self, height: f32) -> bool {
        if self.y + height <= BOTTOM {
            return false;
        }
        self.pages.push(Vec::new());
        self.y = MARGIN;
        true
    }

    /// Goes to a new page unless so much is free on this one. What no page holds begins where it is.
    pub(super) fn keep_together(&mut self, height: f32) {
        if MARGIN + height <= BOTTOM {
            self.need(height);
        }
    }

    /// A text whose upper left corner is here. It is one line, however long.
    pub(super) fn text(&mut self, x: f32, y: f32, style: Style, text: &str) {
        self.put(Mark::Text { x, baseline: y + style.size, style, text: text.to_owned() });
    }

    /// A text that ends here.
    pub(super) fn text_until(&mut self, right: f32, y: f32, style: Style, text: &str) {
        let width = self.fonts.width(text, style.weight, style.size);
        self.text(right - width, y, style, text);
    }

    /// A text in a column, in as many lines as it takes; gives their height.
    pub(super) fn column(&mut self, x: f32, y: f32, width: f32, (style, text): (Style, &str)) -> f32 {
        let lines = self.fonts.wrap(text, (style.weight, style.size), width);
        let mut down = 0.0;
        for line in lines {
            self.text(x, y + down, style, &line);
            down += style.leading();
        }
        down
    }

    pub(super) fn area(&mut self, left: f32, top: f32, (width, height): (f32, f32), ink: Ink) {
        self.put(Mark::Area { left, top, width, height, ink });
    }

    /// A thin line over the whole page.
    pub(super) fn rule(&mut self) {
        let y = self.y;
        self.area(MARGIN, y, (RIGHT - MARGIN, 0.6), Ink::Line);
    }

    /// Draws all pages, each with its number and what the document is.
    pub(super) fn finish(
        mut self,
        (title, language_name): (&str, &str),
        made: Option<DateTime>,
    ) -> Result<Vec<u8>, PdfError> {
        let pages = std::mem::take(&mut self.pages);
        let count = pages.len();
        let mut document = Document::new();
        let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or(PdfError::Shape)?;
        for (index, marks) in pages.into_iter().enumerate() {
            let mut page = document.start_page_with(settings.clone());
            let mut surface = page.surface();
            let foot = format!("Page {} of {count}", index + 1);
            let width = self.fonts.width(&foot, Weight::Plain, Style::SMALL.size);
            let baseline = HEIGHT - 34.0;
            let numbered = [
                Mark::Text { x: RIGHT - width, baseline, style: Style::SMALL, text: foot },
                Mark::Text { x: MARGIN, baseline, style: Style::SMALL, text: title.to_owned() },
            ];
            for mark in marks.into_iter().chain(numbered) {
                self.draw(&mut surface, mark)?;
            }
            surface.finish();
            page.finish();
        }
        let mut metadata = Metadata::new()
            .title(title.to_owned())
            .language(language_name.to_owned())
            .creator("Tallygate".to_owned())
            .document_id(title.to_owned());
        if let Some(made) = made {
            metadata = metadata.creation_date(made);
        }
        document.set_metadata(metadata);
        document.finish().map_err(|error| PdfError::Krilla(format!("{error:?}")))
    }

    fn draw(&self, surface: &mut krilla::surface::Surface<'_>, mark: Mark) -> Result<(), PdfError> {
        match mark {
            Mark::Text { x, baseline, style, text } => {
                surface.set_fill(Some(Fill { paint: style.ink.color().into(), ..Fill::default() }));
                let mut x = x;
                for run in self.fonts.runs(&text, style.weight, style.size) {
                    let start = Point::from_xy(x, baseline);
                    surface.draw_text(start, run.font, style.size, run.text, false, run.direction);
                    x += run.width;
                }
            }
            Mark::Area { left, top, width, height, ink } => {
                surface.set_fill(Some(Fill { paint: ink.color().into(), ..Fill::default() }));
                let mut path = PathBuilder::new();
                path.push_rect(Rect::from_xywh(left, top, width, height).ok_or(PdfError::Shape)?);
                surface.draw_path(&path.finish().ok_or(PdfError::Shape)?);
            }
        }
        Ok(())
    }
}
