//! Parts of a whole: `20%`.

use portcullis::model::Percent;

use super::document::Read;
use super::value::{Kind, Value};

/// Reads a part, from 1 % to 100 %.
pub fn read(value: &Value<'_>) -> Read<Percent> {
    let parsed = match value.kind() {
        Kind::Integer(number) => Err(format!("did you mean {number}%?")),
        Kind::String(text) => parse(text),
        _ => Err(REMEDY.to_owned()),
    };
    parsed.map_err(|help| value.expected("a percentage such as 20%", help))
}

const REMEDY: &str = "write a whole number from 1 to 100, with %";

/// Parses a part; the error is the remedy.
fn parse(text: &str) -> Result<Percent, String> {
    let number = text.strip_suffix('%').map(|number| number.trim_end().parse().ok());
    number.flatten().and_then(Percent::new).ok_or_else(|| REMEDY.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_whole_number_up_to_100() {
        for (text, hundredths) in [("1%", 1), ("20 %", 20), ("100%", 100)] {
            assert_eq!(parse(text).map(Percent::get), Ok(hundredths), "{text}");
        }
        for text in ["0%", "101%", "20", "0.5%", "%", "-1%", "+ 1%", "999%"] {
            assert_eq!(parse(text), Err(REMEDY.to_owned()), "{text}");
        }
    }
}
