//! Configurations in the documentation are right.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::super::Config;
use super::json;
use super::validate::fits_some_section;

/// Returns the pages, and the files beside the README.
fn pages() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [top.clone(), top.join("docs")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|own| own == "md")).collect()
}

/// Returns the blocks of a page that are YAML.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block)
}

/// Returns the plugins of a part of a file of Envoy that has the module's filters; anything else is returned as it is.
fn of_envoy(block: Value) -> Vec<Value> {
    let Some(filters) = block["http_filters"].as_array() else { return vec![block] };
    let plugin = |filter: &Value| {
        let filter = &filter["typed_config"];
        assert_eq!(filter["dynamic_module_config"]["name"], "portcullis_envoy", "{filter}");
        filter["filter_config"]["value"].clone()
    };
    filters.iter().map(plugin).collect()
}

#[test]
fn every_configuration_in_the_documentation_is_right() {
    let mut count = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in blocks(&text).filter(|block| block.lines().any(|line| !line.starts_with('#'))) {
            count += 1;
            for block_or_plugin in of_envoy(json(block)) {
                if let Err(problem) = fits_some_section(&block_or_plugin) {
                    panic!("{}: {problem}\n{block}", page.display());
                }
            }
            if !block.contains("listeners:") {
                continue;
            }
            // A plugin of the reader's own is in no file here.
            let error = Config::parse("docs.yaml", block).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.lines().all(|line| line.contains("there is no file")),
                "{}: {error}\n{block}",
                page.display()
            );
        }
    }
    assert!(count > 10, "{count} blocks");
}
