//! Moving from plain async-nats: the same four things with the client alone, then with the bus, side by side on one server.
//!
//! ```text
//! nats-server --jetstream &
//! cargo run -p tidings-bus --example moving_from_async_nats -- nats://127.0.0.1:4222
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tidings_bus::{
    Bus, Class, From, LetterFilter, Nats, NatsConfig, Pattern, Registry, SlowReader, TemplateDef, WorkConfig,
};

/// What each part comes to.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// What may be said, in one place. With the client alone it is in the `format!`s, and in people's heads.
fn registry() -> Result<Arc<Registry>, tidings_bus::Error> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 4_096,
        slow: SlowReader::DropOldest,
        check: None,
        wide: None,
    };
    let rows = vec![
        row("news", "news.{about:token}", Class::Ephemeral),
        row("shout", "svc.shout", Class::Request),
        row("orders", "shop.{shop:slug}.orders", Class::Durable),
        row("mail", "work.{queue:slug}", Class::Work),
        row("dead", "dlq.{queue:slug}", Class::Durable),
    ];
    Ok(Arc::new(Registry::new(Some("moved"), rows)?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let server = std::env::args().nth(1);
    run(server.as_deref().unwrap_or("nats://127.0.0.1:4222")).await
}

/// Everything, at this server.
pub async fn run(server: &str) -> Outcome {
    // There: a client. Without a connection it takes messages and says nothing.
    let client = async_nats::connect(server).await?;
    // Here: a bus over one connection or several, which refuses what it cannot send.
    let registry = registry()?;
    let nats = Nats::connect(NatsConfig::default().server(server), registry.clone()).await?;
    let bus = Bus::new(nats, registry);

    publish_and_subscribe(&client, &bus).await?;
    request(&client, &bus).await?;
    store_and_follow(&client, &bus).await?;
    work(&bus).await?;
    println!("given up at the end: {:?}", bus.drain(Duration::from_secs(1)).await);
    Ok(())
}

async fn publish_and_subscribe(client: &async_nats::Client, bus: &Bus) -> Outcome {
    // There: a subject is any text. Had somebody typed the topic, `tide.*` would be another subject than was meant.
    let topic = "tide";
    let mut heard = client.subscribe(format!("plain.news.{topic}")).await?;
    client.publish(format!("plain.news.{topic}"), "It turns at six.".into()).await?;
    let there = heard.next().await.ok_or("the connection closed")?.payload;

    // Here: a subject is built from a template, which escapes what it must and refuses what it cannot take. A reader's queue has
    // a bound, and what a slow one misses is counted.
    let about = bus.registry().subject("news", &["the tide (high *)"])?;
    let mut heard = bus.subscribe(&Pattern::from(&about), 64).await?;
    bus.publish(&about, Bytes::from("It turns at six."), Vec::new()).await?;
    let here = heard.next().await.ok_or("the bus closed")?.payload;
    expect(&there, &here)?;
    println!("published: {there:?} there, {here:?} here on {about}");
    Ok(())
}

async fn request(client: &async_nats::Client, bus: &Bus) -> Outcome {
    // There: one deadline for the whole client, and whoever answers does not know of it.
    let mut questions = client.queue_subscribe("plain.shout", "shouters".to_owned()).await?;
    let answering = async {
        let question = questions.next().await?;
        let answer = question.payload.to_ascii_uppercase();
        client.publish(question.reply?, answer.into()).await.ok()
    };
    let (there, _) = tokio::join!(client.request("plain.shout", "ahoy".into()), answering);

    // Here: each call has its deadline, which travels along; a destination that keeps failing is left alone for a while, and a
    // request is repeated only where it surely was not received.
    let shout = bus.registry().subject("shout", &[])?;
    let mut questions = bus.queue_subscribe(&Pattern::from(&shout), "shouters", 64).await?;
    let answering = async {
        let question = questions.next().await?;
        println!("time left to answer: {:?}", question.time_left()?.as_secs_f32().ceil());
        let answer = question.payload.to_ascii_uppercase();
        question.respond(answer.into()).ok()
    };
    let asked = bus.request(&shout, Bytes::from("ahoy"), Vec::new(), Duration::from_secs(2));
    let (here, _) = tokio::join!(asked, answering);
    let (there, here) = (there?.payload, here?);
    expect(&there, &here)?;
    println!("answered: {there:?} there, {here:?} here");
    Ok(())
}

/// The same on both sides.
fn expect(there: &Bytes, here: &Bytes) -> Outcome {
    if there == here { Ok(()) } else { Err(format!("{there:?} there, {here:?} here").into()) }
}

async fn store_and_follow(client: &async_nats::Client, bus: &Bus) -> Outcome {
    // There: a stream to be made, an id to be thought of, and a repeat to be written where no leader answers.
    let stream = r#"{"name":"PLAIN","subjects":["plain.shop.*.orders"],"storage":"file"}"#;
    client.request("$JS.API.STREAM.CREATE.PLAIN", stream.into()).await?;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "order-1");
    let stored = client.request_with_headers("plain.shop.mill-lane.orders", headers, "bread".into()).await?;

    // Here: stored when the call returns, once however often it had to be tried, and followed from any place without a gap
    // and without a consumer a reader.
    let orders = bus.registry().subject("orders", &["mill-lane"])?;
    let seq = bus.append(&orders, Bytes::from("bread")).await?;
    let mut follower = bus.follow(&orders, From::After(seq - 1));
    println!("stored: {:?} there, {seq} here, read again as {:?}", stored.payload, follower.next().await?);
    Ok(())
}

async fn work(bus: &Bus) -> Outcome {
    // There: a consumer, acknowledgements by hand, and after the last attempt a message that lies in the stream with nobody to
    // look at it, unless somebody listens to an advisory, which may be lost.
    // Here: a queue and its dead letters.
    let (mail, dead) =
        (bus.registry().subject("mail", &["mail"])?, bus.registry().subject("dead", &["mail"])?);
    let queue = bus.work(&mail, &dead, WorkConfig::default())?;
    queue.enqueue(Bytes::from("to nobody"), Vec::new()).await?;
    queue.next().await?.term("there is no such address").await?;
    let page = bus.dead_letters(&mail, &dead)?.list(&LetterFilter::default(), 0, 10).await?;
    let letter = &page.letters.first().ok_or("it is stored when `term` returns")?.letter;
    println!("a dead letter: {}", letter.reason);
    Ok(())
}
