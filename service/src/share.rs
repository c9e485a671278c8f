//! Parts of a whole, as people write them.

/// Reads a part of a whole, from nothing to all of it: `10%`, or `0.1`.
///
/// # Errors
/// A sentence that says what to write instead.
///
/// ```
/// use breakwater_service::share;
///
/// assert_eq!((share::parse("12.5%"), share::parse("0.125")), (Ok(0.125), Ok(0.125)));
/// assert!(share::parse("2").is_err());
/// ```
pub fn parse(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0% to 100%, like 10% or 0.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_shares_are_read() {
        for (text, share) in [("0", 0.0), ("0%", 0.0), ("1", 1.0), ("100%", 1.0), ("20 %", 0.2), ("0.5", 0.5)] {
            assert_eq!(parse(text), Ok(share), "{text}");
        }
        for text in ["", "%", "101%", "1.01", "-0.1", "-1%", "NaN", "inf", "half", "10%%"] {
            assert!(parse(text).unwrap_err().contains("like 10% or 0.1"), "{text}");
        }
    }
}
