//! Checkpoints, settings and secrets in SQLite.

use std::future::Future;
use std::pin::Pin;

use sqlx::Row as _;
use tidings_protocol::ZoneId;

use super::{Sqlite, parsed, sequence};
use crate::backend::{Answer, System, Zones};
use crate::secret::Secret;
use crate::types::{Checkpoint, Stamp};

impl Zones for Sqlite {
    fn save_checkpoint<'a>(&'a self, checkpoint: &'a Checkpoint) -> Answer<'a, ()> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO checkpoints (zone, epoch, seq, body) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (zone) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, body = excluded.body \
                 WHERE checkpoints.epoch <> excluded.epoch OR checkpoints.seq <= excluded.seq",
            )
            .bind(checkpoint.zone.as_str())
            .bind(&checkpoint.stamp.epoch)
            .bind(checkpoint.stamp.number())
            .bind(&checkpoint.body)
            .execute(&self.writer)
            .await?;
            Ok(())
        })
    }

    fn checkpoint<'a>(&'a self, zone: &'a ZoneId) -> Answer<'a, Option<Checkpoint>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT zone, epoch, seq, body FROM checkpoints WHERE zone = ?")
                .bind(zone.as_str())
                .fetch_optional(&self.reader)
                .await?;
            row.map(|row| {
                let stamp = Stamp { epoch: row.try_get("epoch")?, seq: sequence(row.try_get("seq")?) };
                Ok(Checkpoint { zone: parsed(&row, "zone")?, stamp, body: row.try_get("body")? })
            })
            .transpose()
        })
    }
}

impl System for Sqlite {
    fn setting<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let value = sqlx::query_scalar("SELECT value FROM settings WHERE key = ?").bind(key);
            Ok(value.fetch_optional(&self.reader).await?)
        })
    }

    fn set_setting<'a>(&'a self, key: &'a str, value: Option<&'a str>) -> Answer<'a, ()> {
        Box::pin(async move {
            let query = match value {
                Some(value) => sqlx::query(
                    "INSERT INTO settings (key, value) VALUES (?, ?) \
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                )
                .bind(key)
                .bind(value),
                None => sqlx::query("DELETE FROM settings WHERE key = ?").bind(key),
            };
            query.execute(&self.writer).await?;
            Ok(())
        })
    }

    fn secret<'a>(&'a self, key: &'a str, fresh: &'a Secret<Vec<u8>>) -> Answer<'a, Secret<Vec<u8>>> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            sqlx::query("INSERT INTO secrets (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING")
                .bind(key)
                .bind(fresh.expose().as_slice())
                .execute(&mut *tx)
                .await?;
            let value: Vec<u8> = sqlx::query_scalar("SELECT value FROM secrets WHERE key = ?")
                .bind(key)
                .fetch_one(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(Secret::new(value))
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            sqlx::query("SELECT 1").execute(&self.reader).await?;
            Ok(())
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.reader.close().await;
            if let Some(crowds) = &self.crowds {
                crowds.close().await;
            }
            self.relaxed.close().await;
            self.writer.close().await;
        })
    }
}
