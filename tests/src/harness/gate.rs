//! A way to a server that a test can close and open again, as if the server had died and come back.
//! Never looks at what goes through.
//! Put between the program and a Redis that other tests need.

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{HarnessError, Outcome};

/// A way to one server.
#[derive(Debug)]
pub struct Gate {
    address: String,
    is_open: watch::Sender<bool>,
}

impl Gate {
    /// An open one before the server at `host:port`.
    ///
    /// Errors: no port is to be had.
    pub async fn before(server: &str) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(HarnessError::io("a gate"))?;
        let address = listener.local_addr().map_err(HarnessError::io("a gate"))?.to_string();
        let (is_open, watch) = watch::channel(true);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, server.clone(), watch.clone()));
            }
        });
        Ok(Self { address, is_open })
    }

    /// Where it is, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends what goes through, and lets nothing through from now on.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Lets everything through again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn pass(mut near: TcpStream, server: String, mut watch: watch::Receiver<bool>) {
    if !*watch.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    tokio::select! {
        // Whoever hangs up first ends it.
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = watch.wait_for(|is_open| !is_open) => {}
    }
}
