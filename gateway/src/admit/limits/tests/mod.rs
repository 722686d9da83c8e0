//! One suite for every store: refusals that take nothing, amounts that are exact, holds that end once.
//! Never sleeps to let time pass: each store goes by a clock that the test moves.
//! Run by `cargo test -p gateway limits`.

mod amounts;
mod cluster;
mod rates;
mod redis;
mod stand;
mod tls;
mod together;

/// Makes a test of each case on each store.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::super::stand::Stand::local()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(stand) = super::super::stand::Stand::redis().await else { return };
                super::$case(stand).await;
            })+
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(stand) = super::super::stand::Stand::cluster().await else { return };
                super::$case(stand).await;
            })+
        }
    };
}
use on_every_store;
