-- Fills a fresh Gatehouse database on PostgreSQL with a month of generated use: n exchanges of u people in t teams, and
-- the hourly and daily sums of exactly these exchanges. psql -v n=10000000 -v u=1000 -v t=50 -v month=2026-10-01 -f fill.sql
--
-- Nine of ten exchanges fall into ten hours of a working day, the others anywhere. Some people use twenty times as much
-- as others. What an exchange is follows from its number alone, so that every run makes the same.
\set ON_ERROR_STOP on
\timing on

CREATE TEMP TABLE params AS
SELECT (SELECT id FROM orgs LIMIT 1) AS org, CAST(:n AS BIGINT) AS n, CAST(:u AS BIGINT) AS u, CAST(:t AS BIGINT) AS t,
       CAST(EXTRACT(EPOCH FROM CAST(:'month' AS DATE)) * 1000 AS BIGINT) AS start,
       CAST(EXTRACT(EPOCH FROM CAST(:'month' AS DATE) + INTERVAL '1 month' - CAST(:'month' AS DATE)) / 3600 AS BIGINT) AS hours;

CREATE FUNCTION pg_temp.ident(prefix TEXT, number BIGINT) RETURNS TEXT IMMUTABLE PARALLEL SAFE LANGUAGE SQL AS
$$ SELECT prefix || '01BENCH0000' || LPAD(CAST(number AS TEXT), 15, '0') $$;

-- A number below `bound` that looks random.
CREATE FUNCTION pg_temp.pick(i BIGINT, salt BIGINT, bound BIGINT) RETURNS BIGINT IMMUTABLE PARALLEL SAFE LANGUAGE SQL AS
$$ SELECT (hashint8extended(i, salt) & 4294967295) * bound / 4294967296 $$;

INSERT INTO teams (org_id, id, name, folded, created_at)
SELECT org, pg_temp.ident('team_', i), 'Team ' || i, 'team ' || i, start FROM params, generate_series(1, t) i;
INSERT INTO users (org_id, id, email, name, search, state, created_at)
SELECT org, pg_temp.ident('usr_', i), 'dev' || i || '@example.com', NULL, 'dev' || i || '@example.com', 'active', start
FROM params, generate_series(1, u) i;
INSERT INTO keys (org_id, id, public_id, hash, user_id, team_id, state, created_at, pepper)
SELECT org, pg_temp.ident('key_', i), 'bench' || i, '\x00', pg_temp.ident('usr_', i), pg_temp.ident('team_', 1 + i % t),
       'active', start, 1
FROM params, generate_series(1, u) i;

-- One row for each exchange, as the ledger knows it.
CREATE TEMP VIEW made AS
SELECT org, i, start + hour * 3600000 AS hour, user_n, 1 + user_n % t AS team_n,
       (ARRAY['claude-opus-5-5', 'claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-haiku-5-5'])[1 + pg_temp.pick(i, 3, 4)] AS model,
       (ARRAY['main', 'main', 'main', 'bedrock'])[1 + user_n % 4] AS provider,
       200 + pg_temp.pick(i, 4, 4000) AS input, pg_temp.pick(i, 5, 3000) AS written, 5000 + pg_temp.pick(i, 6, 90000) AS read,
       50 + pg_temp.pick(i, 7, 1500) AS output, 1000001 + pg_temp.pick(i, 8, 40000000) AS cost
FROM (
    SELECT org, start, t, i,
           -- The square makes the first people the busiest.
           1 + (pg_temp.pick(i, 1, u) * pg_temp.pick(i, 2, u)) / u AS user_n,
           CASE WHEN pg_temp.pick(i, 9, 10) = 0 THEN pg_temp.pick(i, 10, hours)
                ELSE (pg_temp.pick(i, 11, hours / 24)) * 24 + 8 + pg_temp.pick(i, 12, 10) END AS hour
    FROM params, generate_series(1, n) i
) drawn;

INSERT INTO exchanges (org_id, id, user_id, key_id, team_id, project_id, model, status, ended, record)
SELECT org, pg_temp.ident('exc_', i), pg_temp.ident('usr_', user_n), pg_temp.ident('key_', user_n),
       pg_temp.ident('team_', team_n), NULL, model, 200, 'completed', '{"cost":{"nanos":' || cost || '}}'
FROM made;

INSERT INTO rollups (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode, requests, errors,
                     refusals, estimated, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens,
                     output_tokens, web_searches, cost_nanos, duration_ms, first_byte_ms, first_bytes)
SELECT org, hour, pg_temp.ident('usr_', user_n), pg_temp.ident('team_', team_n), '', pg_temp.ident('key_', user_n),
       provider, model, 'messages', 'gateway', COUNT(*), 0, 0, 0, SUM(input), SUM(written), 0, SUM(read), SUM(output), 0,
       SUM(cost), COUNT(*) * 2000, COUNT(*) * 500, COUNT(*)
FROM made GROUP BY org, hour, user_n, team_n, provider, model;

INSERT INTO daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode, SUM(requests),
       SUM(errors), SUM(refusals), SUM(estimated), SUM(input_tokens), SUM(cache_write_5m_tokens),
       SUM(cache_write_1h_tokens), SUM(cache_read_tokens), SUM(output_tokens), SUM(web_searches), SUM(cost_nanos),
       SUM(duration_ms), SUM(first_byte_ms), SUM(first_bytes)
FROM rollups GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;

ANALYZE;
SELECT (SELECT COUNT(*) FROM exchanges) AS exchanges, (SELECT COUNT(*) FROM rollups) AS rollups;
-- The independent sum that every report must have: of the single exchanges.
SELECT SUM(CAST(SUBSTR(record, 18, LENGTH(record) - 19) AS BIGINT)) AS exchanges_nanos FROM exchanges;
SELECT SUM(cost_nanos) AS rollups_nanos FROM rollups;
