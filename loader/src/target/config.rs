//! A kernel's build configuration.

use crate::kernel::config;
use std::collections::HashMap;

/// The options that are set in a kernel's configuration, and where they were read from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    values: HashMap<String, String>,
    place: Option<String>,
}

impl Options {
    /// The options in the text of a `.config` file; of one that is set twice the first counts.
    pub fn of_text(text: &str) -> Options {
        let mut options = Options { place: Some("the configuration given".to_owned()), ..Options::default() };
        // Reading from memory does not fail.
        let _ = config::values_in(text.as_bytes(), |name, value| options.set(name, value));
        options
    }

    /// The running kernel's.
    pub(crate) fn running() -> Options {
        let mut options = Options::default();
        let place = config::for_each_value(|name, value| options.set(name, value));
        options.place = place.map(|path| path.display().to_string());
        options
    }

    fn set(&mut self, name: &str, value: &str) {
        if !self.values.contains_key(name) {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The value of an option, as written: `y`, `m`, a number, or a text in its quotes. `None` where it is not set.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    /// Where the options were read from; `None` where no configuration was found.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}
