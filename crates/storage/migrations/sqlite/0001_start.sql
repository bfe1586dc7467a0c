-- What outlives the process. Ids are 32 hexadecimal digits, times Unix milliseconds. Where a record of a zone is
-- kept, `epoch` and `seq` are the commit it came from: an older one replayed after a restart changes nothing.

CREATE TABLE accounts (
    id          TEXT PRIMARY KEY,
    username    TEXT NOT NULL,
    folded      TEXT NOT NULL UNIQUE,
    password    TEXT,
    role        TEXT NOT NULL,
    guest       INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    seen_ms     INTEGER NOT NULL
) STRICT;
CREATE INDEX accounts_guests ON accounts (seen_ms) WHERE guest = 1;

-- What an account may not do now. `until_ms` 0: without end. Ended ones stay as (ended = 1) until pruned, so that
-- an older record replayed does not bring them back.
CREATE TABLE sanctions (
    account   TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind      TEXT NOT NULL,
    until_ms  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    ended     INTEGER NOT NULL,
    epoch     TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (account, kind)
) STRICT;

CREATE TABLE families (
    id          TEXT PRIMARY KEY,
    account     TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_ms  INTEGER NOT NULL,
    used_ms     INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    revoked_ms  INTEGER
) STRICT;
CREATE INDEX families_account ON families (account);
CREATE INDEX families_expiry ON families (expires_ms);

-- One row a token ever given out in a family, by its SHA-256. `salt` and `replaced_ms` are set when it was
-- rotated: the successor is made of the token itself and the salt, so that only who holds the token can repeat it.
CREATE TABLE refresh_tokens (
    hash         BLOB PRIMARY KEY,
    family       TEXT NOT NULL REFERENCES families (id) ON DELETE CASCADE,
    salt         BLOB,
    successor    BLOB,
    replaced_ms  INTEGER
) STRICT;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);

CREATE TABLE characters (
    id          TEXT PRIMARY KEY,
    account     TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    folded      TEXT NOT NULL UNIQUE,
    room        TEXT NOT NULL,
    state       TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    epoch       TEXT NOT NULL,
    seq         INTEGER NOT NULL
) STRICT;
CREATE INDEX characters_account ON characters (account, created_ms);

CREATE TABLE mutes (
    account   TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    target    TEXT NOT NULL,
    channel   TEXT NOT NULL,
    name      TEXT NOT NULL,
    until_ms  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    ended     INTEGER NOT NULL,
    epoch     TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (account, target, channel)
) STRICT;

CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ms  INTEGER NOT NULL,
    account  TEXT NOT NULL,
    name     TEXT NOT NULL,
    action   TEXT NOT NULL,
    target   TEXT NOT NULL,
    detail   TEXT NOT NULL,
    UNIQUE (time_ms, account, action, target, detail)
) STRICT;

CREATE TABLE chat (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch         TEXT NOT NULL,
    seq           INTEGER NOT NULL,
    audience      TEXT NOT NULL,
    channel       TEXT NOT NULL,
    time_ms       INTEGER NOT NULL,
    from_id       TEXT NOT NULL,
    from_name     TEXT NOT NULL,
    from_account  TEXT NOT NULL,
    always        INTEGER NOT NULL,
    body          BLOB NOT NULL,
    UNIQUE (epoch, seq)
) STRICT;
CREATE INDEX chat_channel ON chat (audience, channel, id);
CREATE INDEX chat_time ON chat (time_ms);

-- How far the history has read each audience's log.
CREATE TABLE chat_cursors (
    audience  TEXT PRIMARY KEY,
    epoch     TEXT NOT NULL,
    seq       INTEGER NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    zone   TEXT PRIMARY KEY,
    epoch  TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    body   TEXT NOT NULL
) STRICT;

CREATE TABLE settings (
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    key    TEXT PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT;
