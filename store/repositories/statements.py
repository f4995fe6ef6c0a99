"""The SQL of `postgres.py`.

Parameters that are NULL switch their condition off; `store.database` says at plan_cache_mode why that costs nothing.
"""

KNOWN = """
    SELECT k.event_id, k.request_id,
           e.id, e.timestamp, e.content, e.metadata, e.embedding_state, e.create_time, e.update_time
    FROM event_keys k JOIN events e ON e.id = k.event_id AND e.timestamp = k.timestamp
    WHERE k.request_id = ANY($1::text[]) OR k.event_id = ANY($2::uuid[])
"""

# Keys are written in one order by everybody, so that two batches with common keys wait for each other and not in a
# circle. now() is the start of the transaction: the same for all events of a batch.
INSERT_KEYS = """
    INSERT INTO event_keys (event_id, timestamp, request_id)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS new (event_id, timestamp, request_id)
    ORDER BY new.request_id, new.event_id
    ON CONFLICT DO NOTHING
    RETURNING event_id, now() AS now
"""

INSERT_EVENT = """
    INSERT INTO events (id, timestamp, content, metadata, embedding, embedding_state, create_time, update_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
"""

GET = """
    SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time
    FROM events WHERE id = $1 ORDER BY timestamp DESC LIMIT 1
"""

LIST = """
    SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time
    FROM events
    WHERE ($1::jsonb IS NULL OR metadata @> $1)
      AND ($2::timestamptz IS NULL OR timestamp >= $2)
      AND ($3::timestamptz IS NULL OR timestamp < $3)
      AND ($4::timestamptz IS NULL OR (timestamp, id) < ($4, $5::uuid))
    ORDER BY timestamp DESC, id DESC
    LIMIT $6
"""

# The inner query is the shape that the HNSW index serves: ORDER BY the distance itself, LIMIT, nothing else. A zero
# vector, which an adopted table may hold, has no direction: its distance is NaN.
SEARCH = """
    SELECT *, 1 - distance AS similarity
    FROM (
        SELECT id, timestamp, content, metadata, embedding_state, create_time, update_time,
               embedding <=> $1 AS distance
        FROM events
        WHERE embedding_state = 'EMBEDDED'
          AND ($2::jsonb IS NULL OR metadata @> $2)
          AND ($3::timestamptz IS NULL OR timestamp >= $3)
          AND ($4::timestamptz IS NULL OR timestamp < $4)
        ORDER BY embedding <=> $1
        LIMIT $5
    ) AS nearest
    WHERE distance <> 'NaN'
    ORDER BY distance, id
"""

# One round trip for all that a search has to set and to know first. It names `events`, so that from here to the end
# of the transaction nobody can swap its columns under us.
BEGIN_SEARCH = """
    SELECT set_config('hnsw.ef_search', $1, true),
           set_config('hnsw.iterative_scan', 'strict_order', true),
           set_config('statement_timeout', $2, true),
           s.model_name, s.revision, s.dimension, s.fingerprint,
           s.column_name IS NULL AND EXISTS (SELECT FROM events WHERE embedding IS NOT NULL) AS has_unrecorded_vectors
    FROM (VALUES ($3::text)) AS wanted (column_name)
    LEFT JOIN embedding_spaces s USING (column_name)
"""

# Exact search: HNSW and btree scans off; bitmap scans of the metadata and time indexes stay.
WITHOUT_INDEX_SCAN = "SELECT set_config('enable_indexscan', 'off', true)"

# Both answers from one snapshot: a concurrent first write is seen with its space or not at all.
SPACE = """
    SELECT s.model_name, s.revision, s.dimension, s.fingerprint,
           s.column_name IS NULL
               AND EXISTS (SELECT FROM events WHERE embedding IS NOT NULL AND id <> ALL($2::uuid[]))
               AS has_unrecorded_vectors
    FROM (VALUES ($1::text)) AS wanted (column_name)
    LEFT JOIN embedding_spaces s USING (column_name)
"""

REGISTER_SPACE = """
    INSERT INTO embedding_spaces (column_name, model_name, revision, dimension, fingerprint)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
"""

PENDING = """
    SELECT id, timestamp, content, update_time
    FROM events WHERE embedding_state = 'PENDING' ORDER BY timestamp, id LIMIT $1
"""

COUNT_PENDING = "SELECT count(*) FROM events WHERE embedding_state = 'PENDING'"

SETTLE = """
    UPDATE events SET embedding_state = $4, embedding = $5
    WHERE id = $1 AND timestamp = $2 AND update_time = $3 AND embedding_state = 'PENDING'
"""

# Ids of the monolith are random, so the first ones by id are as good a sample as any, and the key's index finds them.
SAMPLE = """
    SELECT content, embedding FROM events
    WHERE embedding_state = 'EMBEDDED' ORDER BY id LIMIT $1
"""
