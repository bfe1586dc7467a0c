-- Lines of one log and one channel that were read together are one row: the history keeps up with a loaded world.
CREATE TABLE chat_pieces (
    -- The number of its last line, counted over all rows.
    id        INTEGER PRIMARY KEY,
    epoch     TEXT NOT NULL,
    audience  TEXT NOT NULL,
    channel   TEXT NOT NULL,
    -- When its last line was said.
    last_ms   INTEGER NOT NULL,
    -- `ChatLine` as protobuf, each with its length before it.
    lines     BLOB NOT NULL
) STRICT;
CREATE INDEX chat_pieces_channel ON chat_pieces (audience, channel, id);
CREATE INDEX chat_pieces_last ON chat_pieces (last_ms);

-- What was kept a line a row: numbers as eight bytes, lowest first; lengths as three groups of seven bits.
WITH
hexes AS (
    SELECT
        row_number() OVER (ORDER BY id) AS id, epoch, audience, channel, time_ms,
        printf('%016x', seq) AS n, printf('%016x', time_ms) AS t, hex(channel) AS c,
        hex(from_id) AS i, hex(from_name) AS m, hex(from_account) AS a, always, hex(body) AS b
    FROM chat
),
fields AS (
    SELECT
        id, epoch, audience, channel, time_ms,
        '09' || substr(n, 15, 2) || substr(n, 13, 2) || substr(n, 11, 2) || substr(n, 9, 2)
             || substr(n, 7, 2) || substr(n, 5, 2) || substr(n, 3, 2) || substr(n, 1, 2)
        || '11' || substr(t, 15, 2) || substr(t, 13, 2) || substr(t, 11, 2) || substr(t, 9, 2)
                || substr(t, 7, 2) || substr(t, 5, 2) || substr(t, 3, 2) || substr(t, 1, 2)
        || printf('1a%02x%02x%02x%s', ((length(c) / 2) & 127) | 128, ((length(c) / 2 >> 7) & 127) | 128, length(c) / 2 >> 14, c)
        || printf('22%02x%02x%02x%s', ((length(i) / 2) & 127) | 128, ((length(i) / 2 >> 7) & 127) | 128, length(i) / 2 >> 14, i)
        || printf('2a%02x%02x%02x%s', ((length(m) / 2) & 127) | 128, ((length(m) / 2 >> 7) & 127) | 128, length(m) / 2 >> 14, m)
        || printf('32%02x%02x%02x%s', ((length(a) / 2) & 127) | 128, ((length(a) / 2 >> 7) & 127) | 128, length(a) / 2 >> 14, a)
        || printf('38%02x', always)
        || printf('42%02x%02x%02x%s', ((length(b) / 2) & 127) | 128, ((length(b) / 2 >> 7) & 127) | 128, length(b) / 2 >> 14, b)
        AS line
    FROM hexes
),
measured AS (
    SELECT id, epoch, audience, channel, time_ms, line, length(line) / 2 AS n FROM fields LIMIT -1 OFFSET 0
)
INSERT INTO chat_pieces (id, epoch, audience, channel, last_ms, lines)
SELECT
    id, epoch, audience, channel, time_ms,
    unhex(printf('%02x%02x%02x%s', (n & 127) | 128, ((n >> 7) & 127) | 128, n >> 14, line))
FROM measured;
DROP TABLE chat;
