use portcullis_config::reader::lines;

use super::Config;

/// Reads any text as a configuration and judges the rights in it: what is wrong is said, at a place that there is, and
/// twice the same.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    portcullis_config::fuzzing::plugins(&text);
    let read = || Config::parse("fuzz.yaml", &text);
    let config = match (read(), read()) {
        (Ok(config), Ok(again)) => {
            assert!(config == again, "the same text is read in two ways");
            config
        }
        (Err(error), Err(again)) => {
            assert_eq!(error.to_string(), again.to_string());
            // An end may be found where the next line would begin.
            let lines = lines(&text).count() + 1;
            for found in error.diagnostics() {
                assert!(!found.message.is_empty() && !found.help.is_empty(), "{found:?}");
                assert!(found.line <= lines, "{found:?}");
            }
            return;
        }
        _ => panic!("the same text is right and wrong"),
    };
    config.all_plugins().for_each(portcullis_config::fuzzing::rights);
}
