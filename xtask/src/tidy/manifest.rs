//! What the rules need from a crate's manifest: whom it depends on, and the line of a key.
//! Never resolves versions or features.
//! Used by `arrows` and `licence`.

use super::tree::File;

/// A manifest, parsed.
pub(super) struct Manifest<'a> {
    pub(super) file: &'a File,
    pub(super) table: toml::Table,
}

impl<'a> Manifest<'a> {
    /// Parses a file.
    ///
    /// Errors: it is not TOML; the message says where.
    pub(super) fn read(file: &'a File) -> Result<Self, String> {
        match file.text.parse() {
            Ok(table) => Ok(Self { file, table }),
            Err(error) => Err(toml::de::Error::to_string(&error)),
        }
    }

    /// The packages it depends on, for building, running and testing, on any platform.
    pub(super) fn dependencies(&self) -> Vec<String> {
        let targets = self.table.get("target").and_then(toml::Value::as_table);
        let tables = targets.into_iter().flatten().filter_map(|(_, target)| target.as_table());
        tables.chain([&self.table]).flat_map(dependencies_in).collect()
    }

    /// The line on which a key or a heading of that name stands, or the first.
    pub(super) fn line_of(&self, name: &str) -> usize {
        let is_key = |line: &str| {
            let rest = line.trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        self.file.text.lines().position(is_key).map_or(1, |index| index + 1)
    }
}

fn dependencies_in(table: &toml::Table) -> Vec<String> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table());
    // A renamed dependency says its real name under `package`.
    let real_name = |(name, details): (&String, &toml::Value)| {
        let package = details.get("package").and_then(toml::Value::as_str);
        package.map_or_else(|| name.clone(), ToOwned::to_owned)
    };
    tables.flat_map(|table| table.iter().map(real_name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Tree;

    #[test]
    fn dependencies_are_found_wherever_they_stand() {
        let text = "[dependencies]\na.workspace = true\nx = { package = \"b\", version = \"1\" }\n\
                    [dev-dependencies]\nc = \"1\"\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n";
        let tree = Tree::of(&[("m/Cargo.toml", text)]);
        let file = tree.find("m/Cargo.toml").expect("the file");
        let manifest = Manifest::read(file).expect("TOML");
        let mut found = manifest.dependencies();
        found.sort();
        assert_eq!(found, ["a", "b", "c", "d"]);
        assert_eq!((manifest.line_of("a"), manifest.line_of("x"), manifest.line_of("zzz")), (2, 3, 1));
    }
}
