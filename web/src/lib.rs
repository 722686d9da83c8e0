//! Pages for people: the page that says what runs here and how it is, and invoices and credit notes as PDF.
//! Never writes to the ledger and never sees a request's prompt.
//! The gateway serves what this crate renders.

mod pdf;

use askama::Template;

pub use pdf::{PdfError, credit_note_pdf, invoice_pdf};

/// The page at `/`: is it ready, what does it serve, where does its API begin.
#[derive(Debug, Template)]
#[template(path = "health.html")]
pub struct HealthPage {
    /// Whether requests would be served now.
    pub is_ready: bool,
    /// Each part and its state in words.
    pub parts: Vec<(String, String)>,
    /// Models served.
    pub models: Vec<String>,
    /// The program's version.
    pub version: &'static str,
}

impl HealthPage {
    /// The page as HTML; every value is escaped.
    ///
    /// Errors: none in practice; the template is checked when the program is built.
    pub fn to_html(&self) -> Result<String, askama::Error> {
        self.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let page = HealthPage {
            is_ready: false,
            parts: vec![("journal".to_owned(), "<b>full</b>".to_owned())],
            models: vec!["demo".to_owned()],
            version: "1",
        };
        let html = page.to_html().expect("rendered");
        assert!(html.contains("not ready") && html.contains("<code>demo</code>"), "{html}");
        assert!(!html.contains("<b>full"), "{html}");
    }
}
