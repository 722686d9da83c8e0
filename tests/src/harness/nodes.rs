//! Engine nodes and a gateway's keys for them: made, started, and written into configurations.
//! Never a node of its own making: nodes are the program under test.
//! Used by tests of engine nodes.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{HarnessError, Installation, Outcome, Server};

/// The keys of one gateway, made by the program.
#[derive(Debug)]
pub struct NodeKeys {
    folder: TempDir,
}

/// A running engine node and its configuration.
#[derive(Debug)]
pub struct EngineNode {
    /// Its installation; nothing of it is on disk but the configuration.
    pub installation: Installation,
    /// Its process.
    pub server: Server,
    name: String,
}

impl NodeKeys {
    /// A fresh pair.
    ///
    /// Errors: the program does not make it.
    pub fn create() -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(HarnessError::io("a folder for keys"))?;
        let out = folder.path().display().to_string();
        Installation::new("")?.run(&["node-key", "create", "--out", &out])?;
        Ok(Self { folder })
    }

    /// Where the private half is.
    pub fn private(&self) -> PathBuf {
        self.folder.path().join("gateway.key.pem")
    }

    /// Where the public half is.
    pub fn public(&self) -> PathBuf {
        self.folder.path().join("gateway.pub.pem")
    }

    /// The content of the public half.
    ///
    /// Errors: it cannot be read.
    pub fn public_pem(&self) -> Outcome<String> {
        fs::read_to_string(self.public()).map_err(HarnessError::io("the public key"))
    }

    /// A `[[backend]]` with the model `demo`, opened by these keys; further lines go into the backend.
    pub fn backend(&self, name: &str, url: &str, lines: &str) -> String {
        format!(
            "[[backend]]\nname = \"{name}\"\nkind = \"node\"\nurl = \"{url}\"\n\
             signing_key = {{ file = \"{}\" }}\n{lines}\n\
             [[backend.model]]\nname = \"demo\"\ncontext_tokens_max = 256\n",
            self.private().display()
        )
    }
}

impl EngineNode {
    /// Starts a node of this name for the gateways with these keys; `config` has its models and more.
    ///
    /// Errors: it is not ready in time.
    pub async fn start(name: &str, keys: &[&NodeKeys], config: &str) -> Outcome<Self> {
        let files: Vec<_> = keys.iter().map(|keys| format!("\"{}\"", keys.public().display())).collect();
        let config = format!(
            "role = \"engine\"\n[node]\nname = \"{name}\"\ngateway_keys = [{}]\n{config}",
            files.join(", ")
        );
        let mut installation = Installation::new(&config)?;
        let server = installation.start().await?;
        Ok(Self { installation, server, name: name.to_owned() })
    }

    /// A `[[backend]]` that is this node; further lines go into the backend.
    pub fn backend(&self, keys: &NodeKeys, lines: &str) -> String {
        keys.backend(&self.name, &self.server.banner().base_url, lines)
    }

    /// What it says of itself to anybody: its status and the text.
    ///
    /// Errors: no answer.
    pub async fn ready(&self) -> Outcome<(u16, String)> {
        let answer = reqwest::get(format!("{}/readyz", self.server.origin())).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}
