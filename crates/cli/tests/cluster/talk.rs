//! People at different edges are in one world.

use anyhow::Result;

use crate::harness::Cluster;

#[tokio::test]
async fn two_at_different_edges_meet_talk_and_walk() -> Result<()> {
    let cluster = Cluster::start()?;
    let mut ann = cluster.player(0, "Ann").await?;
    let mut ben = cluster.player(1, "Ben").await?;
    ann.hears("Ben has joined the world.").await?;
    assert_eq!(ann.does("say hello").await?, "You say: hello");
    ben.hears("Ann says: hello").await?;
    assert_eq!(ben.does("whisper Ann psst").await?, "[whisper] You to Ann: psst");
    ann.hears("[whisper] Ben to you: psst").await?;
    ben.does("east").await?;
    assert_eq!(ben.sees_room().await?.body["room"]["name"], "Garden");
    ann.hears("Ben leaves to the east.").await?;
    ann.does("say alone").await?;
    ben.does_not_hear("Ann says: alone").await?;
    ann.does("east").await?;
    ben.hears("Ann arrives from the west.").await?;
    assert_eq!(ben.does("who").await?, ann.does("who").await?);
    for edge in &cluster.edges {
        assert!(!edge.data().exists(), "an edge has no storage");
    }
    Ok(())
}
