//! A condition that parses is, printed, a condition that parses to the same; an error points into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rules::parse::parse;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(expression) => {
            let printed = expression.to_string();
            // Printing may add parentheses, and with them levels.
            match parse(&printed) {
                Ok(again) => assert_eq!(again, expression, "{printed}"),
                Err(error) => assert!(error.message.contains("nested deeper"), "{printed}: {error}"),
            }
        }
        Err(error) => {
            assert!(error.span.start as usize <= text.len() && error.span.start <= error.span.end);
            assert!(!error.message.is_empty());
        }
    }
});
