//! A text as a picture that a phone's camera reads (QR code), drawn as SVG.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code, as cameras need them.
const QUIET: usize = 4;

/// The picture, or none when the text is too long for one. `label` is markup that says what it is.
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let (width, modules) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (y, row) in modules.chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row[x..].iter().take_while(|color| **color == Color::Dark).count();
            if run > 0 {
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    let side = width + 2 * QUIET;
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\
         <path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_picture_unless_it_is_too_long() {
        let picture = svg("otpauth://totp/Gatehouse:ada@example.com?secret=AAAA", "code").unwrap();
        assert!(picture.starts_with("<svg ") && picture.contains("aria-label=\"code\""), "{picture}");
        // The finder pattern in the corner: seven dark modules.
        assert!(picture.contains("d=\"M4 4h7v1h-7z"), "{picture}");
        assert_eq!(svg(&"x".repeat(5000), ""), None);
    }
}
