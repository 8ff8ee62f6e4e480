//! A file while it is being read: its tree, and the findings so far.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr::ScanError;

use super::depth;
use super::indentation;
use super::known::Known;
use super::lines::lines;
use super::yaml::{self, Node};
use crate::error::{self, ConfigError, Diagnostic, Origin};

/// The result of reading a part of the file.
pub type Read<T> = Result<T, Reported>;

/// Stands for a finding that the document has noted already: there is nothing more to say about it.
#[derive(Clone, Copy, Debug)]
pub struct Reported(());

/// The tree of one file, and what was found while reading it.
pub struct Document<'d> {
    /// Its only document.
    top: Node,
    pub(super) text: &'d str,
    file: Arc<str>,
    errors: RefCell<Vec<Diagnostic>>,
    notices: RefCell<Vec<Diagnostic>>,
    files: RefCell<BTreeSet<PathBuf>>,
    /// Values that stand elsewhere, as far as they have been read.
    pub(super) secrets: RefCell<Known>,
}

impl<'d> Document<'d> {
    /// Reads the text of the file called `name`. `example` is a file that an empty one can start from.
    ///
    /// # Errors
    /// The text is no YAML, is empty, has several documents, or is nested deeper than 128 levels.
    pub fn parse(name: &str, text: &'d str, example: &str) -> Result<Self, ConfigError> {
        let file: Arc<str> = name.into();
        let origin = |line, column| Origin { file: file.clone(), line, column, path: String::new() };
        let invalid = |error: ScanError| {
            let (line, column) = (error.marker().line(), error.marker().col() + 1);
            let general = || (format!("not valid YAML: {}", error.info()), syntax_help(&error, text).to_owned());
            let is_indented = ["did not find expected", "mapping values are not allowed"];
            let is_indented = is_indented.iter().any(|info| error.info().contains(info));
            let explained = is_indented.then(|| indentation::explain(text, line)).flatten();
            let (message, help) = explained.unwrap_or_else(general);
            Diagnostic { excerpt: excerpt(text, line, column), ..origin(line, column).diagnostic(message, help) }
        };
        if let Some(place) = depth::too_deep(text).map_err(invalid)? {
            let message = format!("lists and mappings stand in each other deeper than {} levels", depth::DEEPEST);
            return Err(origin(place.line(), place.col() + 1).diagnostic(message, "make it flatter").into());
        }
        let mut documents = yaml::parse(text).map_err(invalid)?.into_iter();
        let (top, second) = (documents.next(), documents.next());
        let top = match (top, second) {
            (None, _) => {
                let found = origin(0, 0).diagnostic("the file is empty", format!("start from {example}"));
                return Err(found.into());
            }
            (Some(top), None) => top,
            (Some(_), Some(second)) => {
                let place = origin(second.span.start.line(), second.span.start.col() + 1);
                let help = "keep one, and remove the line `---` that starts the second";
                return Err(place.diagnostic("the file holds several YAML documents", help).into());
            }
        };
        Ok(Self {
            top,
            text,
            file,
            errors: RefCell::default(),
            notices: RefCell::default(),
            files: RefCell::default(),
            secrets: RefCell::default(),
        })
    }

    /// Returns the node at the top of the file.
    pub(super) fn top(&self) -> &Node {
        &self.top
    }

    /// Returns the place of a node.
    pub(super) fn origin(&self, node: &Node, path: &str) -> Origin {
        Origin {
            file: self.file.clone(),
            line: node.span.start.line(),
            column: node.span.start.col() + 1,
            path: path.to_owned(),
        }
    }

    /// Notes an error.
    pub(crate) fn fail(&self, diagnostic: Diagnostic) -> Reported {
        note(&self.errors, diagnostic);
        Reported(())
    }

    /// Notes something that the operator should know, and that is no error.
    pub(crate) fn notice(&self, diagnostic: Diagnostic) {
        note(&self.notices, diagnostic);
    }

    /// Returns the file or directory that a path in the configuration means: the one in the working directory or, failing that,
    /// the one beside the configuration.
    pub(super) fn find(&self, path: &str, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        self.candidates(path).into_iter().find(|path| is_there(path))
    }

    /// Returns where a path may lead: the first that is there counts.
    fn candidates(&self, path: &str) -> Vec<PathBuf> {
        let beside = Path::new(&*self.file).parent().map(|folder| folder.join(path));
        [Some(PathBuf::from(path)), beside].into_iter().flatten().collect()
    }

    /// Notes that the configuration names a file by this text, wherever it may be.
    pub(super) fn names_file(&self, path: &str) {
        self.files.borrow_mut().extend(self.candidates(path));
    }

    /// Notes that the configuration names this file.
    pub(super) fn name_file(&self, path: &Path) {
        self.files.borrow_mut().insert(path.to_owned());
    }

    /// Returns the files that have been looked for so far, also those that are not there: if one of them changes, appears or
    /// goes, the configuration may mean something else.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().cloned().collect()
    }

    /// Returns a path as it is meant where the file need not exist: relative to the configuration.
    pub(crate) fn beside(&self, path: &str) -> PathBuf {
        Path::new(&*self.file).parent().map_or_else(|| path.into(), |folder| folder.join(path))
    }

    /// Ends the reading with what was read and the notices, or with the errors.
    ///
    /// # Errors
    /// All that was noted as an error since [`Self::parse`], in the order of the file.
    pub fn finish<T>(self, result: Read<T>) -> Result<(T, Vec<Diagnostic>), ConfigError> {
        match result {
            Ok(value) if self.errors.borrow().is_empty() => Ok((value, error::sorted(self.notices.into_inner()))),
            _ => Err(ConfigError::new(self.errors.into_inner())),
        }
    }
}

/// Aliases show one place several times: it is reported once.
fn note(list: &RefCell<Vec<Diagnostic>>, diagnostic: Diagnostic) {
    let mut list = list.borrow_mut();
    let same = |old: &Diagnostic| {
        (old.line, old.column, &old.message) == (diagnostic.line, diagnostic.column, &diagnostic.message)
    };
    if !list.iter().any(same) {
        list.push(diagnostic);
    }
}

/// Shows a line and a caret below one of its columns; nothing of a line that is too long to be read.
fn excerpt(text: &str, line: usize, column: usize) -> String {
    const LONGEST: usize = 160;
    let shown = line.checked_sub(1).and_then(|index| lines(text).nth(index)).unwrap_or_default().replace('\t', " ");
    if shown.trim().is_empty() || shown.chars().count() > LONGEST || column > LONGEST {
        return String::new();
    }
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let before = " ".repeat(column.saturating_sub(1));
    format!("  {number} | {shown}\n  {margin} | {before}^")
}

fn syntax_help(error: &ScanError, text: &str) -> &'static str {
    let info = error.info();
    let line = lines(text).nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    if line.contains("::") && line.contains("]:") {
        "put an IPv6 address in quotes: \"[::1]:8080\""
    } else if info.contains("tab") {
        "indent with spaces"
    } else if info.contains("mapping values are not allowed") {
        "check the indentation, and put text that contains \": \" in quotes"
    } else if info.contains("bracket") || info.contains("flow") {
        "check the brackets, and put text that contains brackets in quotes"
    } else if info.contains("unknown anchor") {
        "define the anchor with `&name` before it is used"
    } else {
        "check the indentation and the quotes in this line and the ones above"
    }
}
