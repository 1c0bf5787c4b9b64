-- Fills a fresh Gatehouse database on PostgreSQL with a month of generated use: n exchanges of u people in t teams, and a fiftieth
-- of that since the month's end; the hourly and daily sums of exactly these exchanges; what half of the people's clients tell
-- of them; entries of the audit log; a budget for everybody.
--   psql -v n=10000000 -v u=1000 -v t=50 -v month=2026-10-01 -f fill.sql
--
-- On working days ten hours have thirty times as much use as all others. Some people use twenty times as much as others. What
-- an exchange is follows from its number alone, so that every run makes the same month. Records are as the program writes
-- them, but for what is optional and the client's own names.
\set ON_ERROR_STOP on
\timing on
SET work_mem = '512MB';
SET maintenance_work_mem = '512MB';

CREATE TEMP TABLE params AS
SELECT (SELECT id FROM orgs LIMIT 1) AS org, CAST(:n AS BIGINT) AS n, CAST(:u AS BIGINT) AS u, CAST(:t AS BIGINT) AS t,
       GREATEST(1, CAST(:u AS BIGINT) / 30) AS p,
       CAST(EXTRACT(EPOCH FROM CAST(:'month' AS DATE)) * 1000 AS BIGINT) AS month_start,
       CAST(EXTRACT(EPOCH FROM CAST(:'month' AS DATE) + INTERVAL '1 month') * 1000 AS BIGINT) AS month_end,
       CAST(EXTRACT(EPOCH FROM NOW()) * 1000 AS BIGINT) AS now;

-- Functions are in place where they are called, which PostgreSQL does for such plain ones.
CREATE FUNCTION pg_temp.ident(prefix TEXT, number BIGINT) RETURNS TEXT IMMUTABLE LANGUAGE SQL AS
$$ SELECT prefix || '01BENCH0000' || LPAD(CAST(number AS TEXT), 15, '0') $$;
-- A number below `bound` that looks random.
CREATE FUNCTION pg_temp.pick(i BIGINT, salt BIGINT, bound BIGINT) RETURNS BIGINT IMMUTABLE LANGUAGE SQL AS
$$ SELECT (hashint8extended(i, salt) & 4294967295) * bound / 4294967296 $$;
-- The first ten letters of an identifier of this time.
CREATE FUNCTION pg_temp.time_letters(ms BIGINT) RETURNS TEXT IMMUTABLE LANGUAGE SQL AS
$$ SELECT STRING_AGG(SUBSTR('0123456789ABCDEFGHJKMNPQRSTVWXYZ', CAST((ms >> (5 * place)) & 31 AS INTEGER) + 1, 1), ''
                     ORDER BY place DESC) FROM generate_series(0, 9) place $$;

INSERT INTO teams (org_id, id, name, folded, created_at)
SELECT org, pg_temp.ident('team_', i), 'Team ' || i, 'team ' || i, month_start FROM params, generate_series(1, t) i;
INSERT INTO projects (org_id, id, name, folded, created_at)
SELECT org, pg_temp.ident('prj_', i), 'Project ' || i, 'project ' || i, month_start FROM params, generate_series(1, p) i;
INSERT INTO users (org_id, id, email, name, search, state, created_at)
SELECT org, pg_temp.ident('usr_', i), 'dev' || i || '@example.com', NULL, 'dev' || i || '@example.com', 'active', month_start
FROM params, generate_series(1, u) i;
INSERT INTO memberships (org_id, user_id, team_id)
SELECT org, pg_temp.ident('usr_', i), pg_temp.ident('team_', 1 + i % t) FROM params, generate_series(1, u) i;
INSERT INTO keys (org_id, id, public_id, hash, user_id, team_id, state, created_at, pepper, last_used_at)
SELECT org, pg_temp.ident('key_', i), LPAD(CAST(i AS TEXT), 8, '0'), SHA256(CAST(CAST(i AS TEXT) AS BYTEA)), pg_temp.ident('usr_', i), pg_temp.ident('team_', 1 + i % t),
       'active', month_start, 1, CASE WHEN i % 10 = 0 THEN NULL ELSE month_end END
FROM params, generate_series(1, u) i;
INSERT INTO budgets (org_id, id, user_id, period, limit_nanos, mode, thresholds, created_at)
SELECT org, pg_temp.ident('bud_', i), pg_temp.ident('usr_', i), 'month', 1000000000000, 'hard', '75,95', month_start
FROM params, generate_series(1, u) i;
INSERT INTO budgets (org_id, id, team_id, period, limit_nanos, mode, thresholds, created_at)
SELECT org, pg_temp.ident('bud_', u + i), pg_temp.ident('team_', i), 'total', 100000000000000, 'shadow', '75,95', month_start
FROM params, generate_series(1, t) i;
UPDATE policy_versions SET version = version + 1;

-- Every second person works for no project, the others for two. Two of three ask one provider, and all of them another when
-- that fails.
CREATE TEMP TABLE people AS
SELECT i AS n, pg_temp.ident('usr_', i) AS user_id, pg_temp.ident('key_', i) AS key_id,
       pg_temp.ident('team_', 1 + i % t) AS team_id,
       CASE WHEN i % 2 = 0 THEN pg_temp.ident('prj_', 1 + (i * 7) % p) ELSE '' END AS project_id,
       CASE WHEN i % 2 = 0 THEN pg_temp.ident('prj_', 1 + (i * 7 + 1) % p) ELSE '' END AS other_project_id,
       (ARRAY['main', 'main', 'vertex'])[1 + i % 3] AS provider
FROM params, generate_series(1, u) i;

-- Minutes, and the numbers of the exchanges that begin in each.
CREATE TEMP TABLE minutes AS
SELECT at, pg_temp.time_letters(at) AS letters,
       base + CAST(FLOOR(n * (through - weight) / whole) AS BIGINT) + 1 AS first,
       base + CAST(FLOOR(n * through / whole) AS BIGINT) AS last
FROM (
    SELECT at, weight, CASE WHEN running THEN total ELSE 0 END AS base,
           CASE WHEN running THEN total / 50 ELSE total END AS n,
           SUM(weight) OVER (PARTITION BY running ORDER BY at) AS through, SUM(weight) OVER (PARTITION BY running) AS whole
    FROM (
        SELECT at, at >= month_end AS running, params.n AS total,
               CAST(CASE WHEN (at / 86400000 + 4) % 7 BETWEEN 1 AND 5 AND (at / 3600000) % 24 BETWEEN 8 AND 17
                         THEN 30 ELSE 1 END AS NUMERIC) AS weight
        FROM params, generate_series(month_start, now - 120000, 60000) at
    ) weighed
) counted;

-- One row for each exchange, as the ledger knows it, in the order of time.
CREATE TEMP VIEW made AS
SELECT org, i, at, letters, user_id, key_id, team_id, model, failed,
       CASE WHEN pg_temp.pick(i, 9, 2) = 0 THEN project_id ELSE other_project_id END AS project_id,
       CASE WHEN pg_temp.pick(i, 10, 30) = 0 THEN 'bedrock' ELSE provider END AS provider,
       CASE WHEN failed THEN 0 ELSE 200 + pg_temp.pick(i, 4, 4000) END AS input,
       CASE WHEN failed THEN 0 ELSE pg_temp.pick(i, 5, 3000) END AS written,
       CASE WHEN failed THEN 0 ELSE 5000 + pg_temp.pick(i, 6, 90000) END AS read,
       CASE WHEN failed THEN 0 ELSE 50 + pg_temp.pick(i, 7, 1500) END AS output,
       CASE WHEN failed THEN 0 ELSE 1000001 + pg_temp.pick(i, 8, 40000000) END AS cost,
       300 + pg_temp.pick(i, 11, 900) AS first_byte, 1500 + pg_temp.pick(i, 12, 9000) AS duration
FROM (
    SELECT org, i, at, letters,
           -- The product makes the first people the busiest.
           1 + (pg_temp.pick(i, 1, u) * pg_temp.pick(i, 2, u)) / u AS user_n,
           (ARRAY['claude-opus-5-5', 'claude-sonnet-5-5', 'claude-sonnet-5-5', 'claude-haiku-5-5',
                  'claude-sonnet-4-6'])[1 + pg_temp.pick(i, 3, 5)] AS model,
           pg_temp.pick(i, 13, 50) = 0 AS failed
    FROM params, minutes, generate_series(first, last) i
) drawn JOIN people ON people.n = user_n;

-- Into a table that is made empty in the same transaction, rows need no log where wal_level is minimal.
BEGIN;
TRUNCATE exchanges, rollups, daily_rollups;
DROP INDEX exchanges_by_user;
INSERT INTO exchanges (org_id, id, user_id, key_id, team_id, project_id, model, status, ended, record)
SELECT org, id, user_id, key_id, team_id, NULLIF(project_id, ''), model, CASE WHEN failed THEN 529 ELSE 200 END, ended,
       '{"id":"' || id || '","request_id":"req_' || i || '","kind":"messages","user":"' || user_id || '","key":"' || key_id
       || '","team":"' || team_id || CASE WHEN project_id = '' THEN '' ELSE '","project":"' || project_id END
       || '","provider":"' || provider || '","model":"' || model || '","stream":true,"status":'
       || CASE WHEN failed THEN 529 ELSE 200 END || ',"ended":"' || ended || '","usage":{"input":' || input
       || ',"cache_write_5m":' || written || ',"cache_read":' || read || ',"output":' || output || '},"cost_nanos":' || cost
       || ',"price_basis":"table","started_at":' || at || ',"first_byte_ms":' || first_byte || ',"duration_ms":' || duration
       || ',"overhead_us":300,"bytes_in":' || 4 * read || ',"bytes_out":' || 40 * output || '}'
FROM (SELECT made.*, 'exc_' || letters || LPAD(CAST(i AS TEXT), 16, '0') AS id,
             CASE WHEN failed THEN 'upstream_error' ELSE 'completed' END AS ended FROM made OFFSET 0) told;
CREATE INDEX exchanges_by_user ON exchanges (user_id, id);
COMMIT;

INSERT INTO rollups (org_id, hour, user_id, team_id, project_id, key_id, provider, model, kind, mode, requests, errors,
                     refusals, estimated, input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_read_tokens,
                     output_tokens, web_searches, cost_nanos, duration_ms, first_byte_ms, first_bytes)
SELECT org, at - at % 3600000, user_id, team_id, project_id, key_id, provider, model, 'messages', 'gateway', COUNT(*),
       COUNT(*) FILTER (WHERE failed), 0, 0, SUM(input), SUM(written), 0, SUM(read), SUM(output), 0, SUM(cost),
       SUM(duration), SUM(first_byte), COUNT(*)
FROM made GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

INSERT INTO daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, project_id, key_id, provider, model, kind, mode, SUM(requests),
       SUM(errors), SUM(refusals), SUM(estimated), SUM(input_tokens), SUM(cache_write_5m_tokens),
       SUM(cache_write_1h_tokens), SUM(cache_read_tokens), SUM(output_tokens), SUM(web_searches), SUM(cost_nanos),
       SUM(duration_ms), SUM(first_byte_ms), SUM(first_bytes)
FROM rollups GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;

-- What the clients of every second person tell.
INSERT INTO client_rollups
SELECT org_id, hour, user_id, team_id, model, SUM(cost_nanos), SUM(input_tokens), SUM(output_tokens),
       SUM(cache_read_tokens), SUM(cache_write_5m_tokens), 1, 600000, 900000, 40, 10, 1, 0, 5, 1, SUM(requests), SUM(errors),
       SUM(cost_nanos), SUM(duration_ms), 8, 30, 1, 0, 0
FROM rollups JOIN people USING (user_id, team_id) WHERE people.n % 2 = 0 GROUP BY 1, 2, 3, 4, 5;
INSERT INTO client_daily_rollups
SELECT org_id, hour - hour % 86400000, user_id, team_id, model, SUM(cost_nanos), SUM(input_tokens), SUM(output_tokens),
       SUM(cache_read_tokens), SUM(cache_write_tokens), SUM(sessions), SUM(active_user_ms), SUM(active_client_ms),
       SUM(lines_added), SUM(lines_removed), SUM(commits), SUM(pull_requests), SUM(edits_accepted), SUM(edits_rejected),
       SUM(requests), SUM(errors), SUM(request_cost_nanos), SUM(request_ms), SUM(prompts), SUM(tool_calls),
       SUM(tool_failures), SUM(surveys_shown), SUM(surveys_answered)
FROM client_rollups GROUP BY 1, 2, 3, 4, 5;
INSERT INTO client_events (org_id, id, user_id, team_id, name, model, session, attributes)
SELECT org, 'cev_' || letters || LPAD(CAST(i AS TEXT), 16, '0'), user_id, team_id,
       CASE WHEN i % 100000 = 7 THEN 'feedback_survey' ELSE (ARRAY['api_request', 'tool_result', 'user_prompt'])[1 + i % 3] END,
       '', 'session', '{"duration_ms":"1200"}'
FROM (SELECT org, letters, people.n, user_id, team_id, i
      FROM params, minutes, generate_series(first / 30, last / 30 - 1) i, people WHERE people.n = 1 + i % u) told;

-- Copies of an act and of an entry for exchanges. The chain is not made: nobody checks it here.
CREATE TEMP TABLE heads AS SELECT org_id, seq, month_start, month_end, n, u FROM audit_heads, params;
CREATE TEMP TABLE patterns AS
SELECT DISTINCT ON (action = 'exchange.batch') *, action = 'exchange.batch' AS is_batch FROM audit_entries
ORDER BY action = 'exchange.batch', seq;
INSERT INTO audit_entries (org_id, seq, at, actor, action, object, entry, prev, hash)
SELECT a.org_id, heads.seq + i, month_start + i * (month_end - month_start) / (n / 25), a.actor, a.action, a.object,
       REGEXP_REPLACE(a.entry, '"seq":[0-9]+', '"seq":' || heads.seq + i), a.prev, a.hash
FROM heads, generate_series(1, n / 25) i JOIN patterns a ON a.is_batch = (i % 20 <> 0);
UPDATE audit_heads SET seq = audit_heads.seq + n / 25 FROM heads;

VACUUM ANALYZE;
SELECT (SELECT COUNT(*) FROM exchanges) AS exchanges, (SELECT COUNT(*) FROM rollups) AS hourly,
       (SELECT COUNT(*) FROM daily_rollups) AS daily, pg_size_pretty(pg_database_size(current_database())) AS size;
