//! Quantities of resources: `128Mi`, `500m`, `2`, `1e3`.

/// The value of a quantity in its unit (bytes, processors); `None` for what is none.
/// The grammar is that of k8s.io/apimachinery pkg/api/resource.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let end = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = (text.get(..end)?, text.get(end..)?);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10f64.powi(exponent)
        }
    };
    let value = number * factor;
    value.is_finite().then_some(value)
}

/// Rounded up, as the API server rounds what is finer than the unit.
pub(super) fn whole(value: f64) -> u64 {
    // `as` keeps within bounds: below 0 is 0, above the largest is the largest.
    value.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_the_api_server_reads_them() {
        let cases: &[(&str, Option<f64>)] = &[
            ("128Mi", Some(134_217_728.0)),
            ("500m", Some(0.5)),
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("1E3", Some(1000.0)),
            ("1E", Some(1e18)),
            ("12k", Some(12000.0)),
            ("", None),
            ("Mi", None),
            ("1 Mi", None),
            ("1e999", None),
            ("lots", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), *expected, "{text}");
        }
    }
}
