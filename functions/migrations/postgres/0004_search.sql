-- Search. See 0002.
--
-- A search takes one of two ways to the same answer. `memory.scan` goes along the order of results and stops when it
-- has the page and has counted far enough: the way to what many memories hold. `memory.find` reads what the index of
-- texts names, all of it: the way to what few hold. memory.choose asks the first memories of the order.
--
-- What most searches are, texts and a few bounds, has statements of its own, memory.quick and memory.sift_plain, which
-- a session plans once: to plan them took 0.5 ms, to run them 0.1.

SET LOCAL ROLE memory_owner;

-- What to look for; the fields are those of `Search` in functions/memories/model.py. A null filters nothing. Texts to
-- find are LIKE patterns: one of `needles`, and of each list in `texts` (written as arrays) one.
CREATE TYPE memory.wanted AS (
    needles text[], texts text[], exact text, exact_key bigint, types text[], any_tag text[], every_tag text[],
    project text, languages text[], frameworks text[], edges text[], near text, depth integer, near_edges text[],
    near_ids text[], end_ids text[], by_tag boolean, plain boolean,
    min_importance double precision, min_confidence double precision, created_after bigint,
    created_before bigint, most bigint, skipped bigint, count_most bigint, after_exact boolean,
    after_importance double precision, after_at bigint, after_id text
);
GRANT USAGE ON TYPE memory.wanted TO memory_finder;

-- The conditions on a memory m for EXECUTE; $1 to $12 are those of memory.run.
CREATE FUNCTION memory.conditions(w memory.wanted)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    found text := 'TRUE';
BEGIN
    IF w.types IS NOT NULL THEN found := found || ' AND m.type = ANY ($1)'; END IF;
    IF w.any_tag IS NOT NULL THEN found := found || ' AND m.folded_tags && $2'; END IF;
    IF w.every_tag IS NOT NULL THEN found := found || ' AND m.folded_tags @> $3'; END IF;
    IF w.project IS NOT NULL THEN found := found || ' AND m.project_path = $4'; END IF;
    IF w.languages IS NOT NULL THEN found := found || ' AND m.folded_languages && $5'; END IF;
    IF w.frameworks IS NOT NULL THEN found := found || ' AND m.folded_frameworks && $6'; END IF;
    IF w.near IS NOT NULL THEN found := found || ' AND m.id = ANY ($7)'; END IF;
    IF w.min_importance IS NOT NULL THEN found := found || ' AND m.importance >= $8'; END IF;
    IF w.min_confidence IS NOT NULL THEN found := found || ' AND m.confidence >= $9'; END IF;
    IF w.created_after IS NOT NULL THEN found := found || ' AND m.created_at >= $10'; END IF;
    IF w.created_before IS NOT NULL THEN found := found || ' AND m.created_at <= $11'; END IF;
    IF w.end_ids IS NOT NULL THEN
        found := found || ' AND m.id = ANY ($12)';
    ELSIF w.edges IS NOT NULL THEN
        -- Not EXISTS: the planner would read all relationships first, to look up each memory in them.
        found := found || ' AND coalesce((SELECT TRUE FROM memory.relationships r'
            ' WHERE r.from_id = m.id AND r.valid_until IS NULL AND r.type = ANY ($23) LIMIT 1),'
            ' (SELECT TRUE FROM memory.relationships r'
            ' WHERE r.to_id = m.id AND r.valid_until IS NULL AND r.type = ANY ($23) LIMIT 1), FALSE)';
    END IF;
    RETURN found;
END
$$;

-- The same of `texts`, which say less about how many pass, as the planner sees it.
CREATE FUNCTION memory.text_conditions(w memory.wanted)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    patterns text;
    found text := 'TRUE';
BEGIN
    IF w.texts IS NOT NULL THEN
        FOREACH patterns IN ARRAY w.texts LOOP
            found := found || format(' AND m.folded_text LIKE ANY (%L::text[])', patterns);
        END LOOP;
    END IF;
    RETURN found;
END
$$;

-- Run a statement about memories. It is planned anew each time, with its values: which index pays depends on them. Its
-- arguments, after those of the conditions: $13 exact title, $14 its key, $15 how many ids, $16 how many to skip, $17
-- how far to count, $18 to $21 the position after which the page begins, $22 the needles, $23 types of relationships.
CREATE FUNCTION memory.run(statement text, w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    EXECUTE statement INTO total, ids
    USING w.types, w.any_tag, w.every_tag, w.project, w.languages, w.frameworks, w.near_ids, w.min_importance,
        w.min_confidence, w.created_after, w.created_before, w.end_ids, w.exact, w.exact_key, w.most, w.skipped,
        w.count_most, w.after_exact, w.after_importance, w.after_at, w.after_id, w.needles, w.edges;
END
$$;

-- `most` of some ids after those that are skipped, which may be more than a subscript can count.
CREATE FUNCTION memory.slice(ids text[], skipped bigint, most bigint)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ids[least(skipped, cardinality(ids))::integer + 1 : least(skipped + most, cardinality(ids))::integer]
$$;

-- How many memories pass (no further than `count_most`), and the ids of one page of them, in order: those of the exact
-- title, which have an index of their own, then the others along the index of the order, as far as it takes.
CREATE FUNCTION memory.scan(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
SET enable_seqscan = off -- it does not know how many match, and would read and sort all
SET enable_bitmapscan = off
AS $$
DECLARE
    -- The planner does not know how many memories hold a text. It would take few for granted, read all and sort; asked
    -- for all others in order (OFFSET 0 keeps it from seeing more), it takes the index of the order.
    others text := format(
        'FROM (SELECT m.id, m.importance, m.created_at, m.folded_text, m.title_key FROM memory.memories m WHERE %s'
        ' ORDER BY m.importance DESC, m.created_at DESC, m.id OFFSET 0) m WHERE %s',
        memory.conditions(w), memory.text_conditions(w)
    );
    exactly text := 'm.title_key = $14 AND starts_with(m.folded_text, $13 || memory.separator())';
    ranked text := 'ORDER BY m.importance DESC, m.created_at DESC, m.id LIMIT ';
    later text := 'm.importance <= $19'
        ' AND (m.importance < $19 OR m.created_at < $20 OR (m.created_at = $20 AND m.id > $21))';
    first text[] := '{}';
    counted bigint := 0;
BEGIN
    IF w.needles IS NOT NULL THEN
        others := others || ' AND m.folded_text LIKE ANY ($22)';
    END IF;
    IF w.exact <> '' THEN
        SELECT r.total, r.ids INTO counted, first FROM memory.run(
            format(
                'WITH hits AS MATERIALIZED ('
                'SELECT m.id, m.importance, m.created_at FROM memory.memories m WHERE %s AND %s AND %s%s)'
                ' SELECT (SELECT count(*) FROM hits), ARRAY('
                'SELECT m.id FROM hits m WHERE $18 IS NULL OR ($18 AND %s) %s $15 + $16)',
                exactly, memory.conditions(w), memory.text_conditions(w),
                CASE WHEN w.needles IS NOT NULL THEN ' AND m.folded_text LIKE ANY ($22)' ELSE '' END, later, ranked
            ), w
        ) r;
        others := format('%s AND NOT (%s)', others, exactly);
    END IF;
    IF w.after_exact IS NULL THEN
        SELECT r.ids INTO ids FROM memory.run(
            format('SELECT NULL::bigint, ARRAY(SELECT m.id %s %s greatest($15 + $16, $17))', others, ranked), w
        ) r;
        total := cardinality(ids);
    ELSE
        SELECT r.total, r.ids INTO total, ids FROM memory.run(
            format(
                'SELECT (SELECT count(*) FROM (SELECT %1$s %2$s $17) m),'
                ' ARRAY(SELECT m.id %1$s AND ($18 OR (%3$s)) %2$s $15)',
                others, ranked, later
            ), w
        ) r;
    END IF;
    total := least(counted + total, w.count_most);
    ids := memory.slice(first || ids, w.skipped, w.most);
END
$$;

-- The same, from all memories that hold a needle, or that have a tag.
CREATE FUNCTION memory.sift(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    SELECT r.total, r.ids INTO total, ids FROM memory.run(
        format(
            'WITH hits AS MATERIALIZED ('
            'SELECT m.id, m.importance, m.created_at,'
            ' $13 <> '''' AND starts_with(m.folded_text, $13 || memory.separator()) AS exact'
            ' FROM memory.memories m WHERE %s)'
            ' SELECT (SELECT count(*) FROM (SELECT FROM hits LIMIT $17) h), ARRAY('
            'SELECT h.id FROM hits h'
            ' WHERE $18 IS NULL OR (NOT h.exact, -h.importance, -h.created_at, h.id) > (NOT $18, -$19, -$20, $21)'
            ' ORDER BY h.exact DESC, h.importance DESC, h.created_at DESC, h.id LIMIT $15 OFFSET $16)',
            memory.conditions(w) || ' AND ' || memory.text_conditions(w)
                || CASE WHEN w.by_tag AND w.needles IS NOT NULL THEN ' AND m.folded_text LIKE ANY ($22)' ELSE '' END
        ), w
    ) r;
END
$$;
-- Whether to go on along the order: of the first `read` memories `joint` pass, and `named` hold a needle or have a tag.
-- Along the order each memory takes 1.5 microseconds, by the index each match 3.3 (measured with texts of 70 words),
-- and it names others in vain, about half as many. How many memories there are is counted so far; beyond, many are
-- taken for granted. Where every fourth passes, the order is the sooner way among however many.
CREATE FUNCTION memory.go_on(wanted bigint, joint bigint, named bigint, read bigint)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    far constant bigint := 2000;
    many constant bigint := 6000;
    chance double precision := greatest(joint - sqrt(joint), 0.5); -- rare texts are many: most are rarer than they look
    rows double precision;
BEGIN
    IF joint = 0 OR joint * 4 >= read THEN
        RETURN joint > 0;
    END IF;
    SELECT CASE WHEN count(*) = far THEN many ELSE count(*) END INTO rows
    FROM (SELECT FROM memory.memories LIMIT far) m;
    RETURN least(rows, wanted * read / chance) * 1.5 < rows * named / read * 5;
END
$$;

-- For searches that are `plain`: the same conditions, written once, in statements that are planned once.
DO $do$
DECLARE
    passes constant text := '(w.types IS NULL OR m.type = ANY (w.types))'
        ' AND (w.min_importance IS NULL OR m.importance >= w.min_importance)'
        ' AND (w.min_confidence IS NULL OR m.confidence >= w.min_confidence)'
        ' AND (w.created_after IS NULL OR m.created_at >= w.created_after)'
        ' AND (w.created_before IS NULL OR m.created_at <= w.created_before)';
    holds constant text := '(w.needles IS NULL OR m.folded_text LIKE ANY (w.needles))';
    exactly constant text := '(w.exact <> '''' AND m.title_key = w.exact_key'
        ' AND starts_with(m.folded_text, w.exact || memory.separator()))';
    ranked constant text := 'ORDER BY m.importance DESC, m.created_at DESC, m.id';
BEGIN
    EXECUTE format($f$

CREATE FUNCTION memory.titled(w memory.wanted, wanted bigint)
RETURNS text[]
LANGUAGE plpgsql STABLE
SET enable_sort = on -- they are few; along the order all would be read
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN ARRAY(SELECT m.id FROM memory.memories m WHERE %1$s AND %2$s AND %3$s %4$s LIMIT wanted);
END
$$;

-- One page from what stands first: exact titles, by their own index, then along the order. The first memories of the
-- order tell how many of all hold a needle; `ids` is null when the index of texts is the sooner way.
CREATE FUNCTION memory.quick(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    sample constant bigint := 100;
    wanted constant bigint := greatest(w.count_most, w.skipped + w.most);
    first text[] := '{}';
    others text[];
    read bigint;
    named bigint;
BEGIN
    IF w.exact <> '' THEN
        first := memory.titled(w, wanted);
    END IF;
    SELECT count(*), count(*) FILTER (WHERE s.held), array_agg(s.id) FILTER (WHERE s.held AND s.passed)
    INTO read, named, others
    FROM (
        SELECT m.id, %3$s AS held, %2$s AND NOT %1$s AS passed FROM memory.memories m %4$s LIMIT sample
    ) s;
    others := coalesce(others, '{}');
    IF read = sample AND cardinality(first) + cardinality(others) < wanted THEN
        IF w.needles IS NOT NULL AND NOT memory.go_on(wanted, cardinality(others), named, sample) THEN
            RETURN;
        END IF;
        others := others || ARRAY(
            SELECT m.id FROM (
                SELECT m.id, m.importance, m.confidence, m.created_at, m.title_key, m.folded_text, m.type
                FROM memory.memories m %4$s OFFSET sample
            ) m
            WHERE %3$s AND %2$s AND NOT %1$s LIMIT wanted - cardinality(first) - cardinality(others)
        );
    END IF;
    total := least(cardinality(first) + cardinality(others), w.count_most);
    ids := memory.slice(first || others, w.skipped, w.most);
END
$$;

-- The same, from all memories that hold a needle.
CREATE FUNCTION memory.sift_plain(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    WITH hits AS MATERIALIZED (
        SELECT m.id, m.importance, m.created_at, %1$s AS exact FROM memory.memories m WHERE %2$s
    )
    SELECT (SELECT count(*) FROM (SELECT FROM hits LIMIT w.count_most) h), ARRAY(
        SELECT m.id FROM hits m
        ORDER BY m.exact DESC, m.importance DESC, m.created_at DESC, m.id LIMIT w.most OFFSET w.skipped
    )
    INTO total, ids;
END
$$;

    $f$, exactly, passes, holds, ranked);
END
$do$;

GRANT EXECUTE ON FUNCTION
    memory.sift, memory.sift_plain, memory.run, memory.conditions, memory.text_conditions, memory.separator
TO memory_finder;

RESET ROLE;
GRANT CREATE ON SCHEMA memory TO memory_finder;
SET LOCAL ROLE memory_finder;

CREATE FUNCTION memory.find(w memory.wanted, OUT total bigint, OUT ids text[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- only the index of texts is left
AS $$
BEGIN
    PERFORM set_config('memory.needles', CASE WHEN NOT w.by_tag THEN w.needles::text END, true),
        set_config('memory.tags', CASE WHEN w.by_tag THEN coalesce(w.any_tag, w.every_tag)::text END, true);
    IF w.plain THEN
        SELECT s.total, s.ids INTO total, ids FROM memory.sift_plain(w) s;
    ELSE
        SELECT s.total, s.ids INTO total, ids FROM memory.sift(w) s;
    END IF;
END
$$;
GRANT EXECUTE ON FUNCTION memory.find TO memory_owner;

RESET ROLE;
REVOKE CREATE ON SCHEMA memory FROM memory_finder;
SET LOCAL ROLE memory_owner;

-- The memories within `deepest` relationships of one, in either direction, at their least depth; itself at 0. No
-- further than where `goal` is found.
CREATE FUNCTION memory.walk(start text, goal text, types text[], deepest bigint, as_of bigint)
RETURNS TABLE (id text, depth integer)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_variable
DECLARE
    frontier text[] := ARRAY[start];
    seen text[] := frontier;
BEGIN
    depth := 0;
    LOOP
        RETURN QUERY SELECT f.id, depth FROM unnest(frontier) f (id);
        EXIT WHEN depth >= deepest OR cardinality(frontier) = 0 OR goal = ANY (frontier);
        frontier := ARRAY(
            SELECT r.to_id FROM memory.relationships r
            WHERE r.from_id = ANY (frontier) AND memory.held(r.valid_from, r.valid_until, as_of)
                AND (types IS NULL OR r.type = ANY (types))
            UNION
            SELECT r.from_id FROM memory.relationships r
            WHERE r.to_id = ANY (frontier) AND memory.held(r.valid_from, r.valid_until, as_of)
                AND (types IS NULL OR r.type = ANY (types))
            EXCEPT
            SELECT unnest(seen)
        );
        seen := seen || frontier;
        depth := depth + 1;
    END LOOP;
END
$$;

-- The memories at either end of current relationships of some types; null when there are more than `enough` such
-- relationships: then it is sooner to look at each memory that passes otherwise.
CREATE FUNCTION memory.ends(types text[], enough integer)
RETURNS text[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found text[];
BEGIN
    SELECT array_agg(e.from_id) || array_agg(e.to_id) INTO found FROM (
        SELECT r.from_id, r.to_id FROM memory.relationships r
        WHERE r.valid_until IS NULL AND r.type = ANY (types) LIMIT enough + 1
    ) e;
    RETURN CASE WHEN coalesce(cardinality(found), 0) <= 2 * enough THEN coalesce(found, '{}') END;
END
$$;

-- Which way to take: along the order (`scan`), by the index of texts, or by that of tags (`by_tag`). The first memories
-- of the order tell how many hold a text and have a tag.
CREATE FUNCTION memory.choose(w memory.wanted, OUT scan boolean, OUT by_tag boolean)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    sample constant bigint := 100;
    asked text[] := coalesce(w.any_tag, w.every_tag);
    read bigint;
    joint bigint;
    named bigint;
    tagged bigint;
BEGIN
    by_tag := w.needles IS NULL;
    scan := w.needles IS NULL AND asked IS NULL OR w.near_ids IS NOT NULL OR w.end_ids IS NOT NULL; -- few as it is
    IF scan THEN
        RETURN;
    END IF;
    SELECT count(*), count(*) FILTER (WHERE held AND has), count(*) FILTER (WHERE held), count(*) FILTER (WHERE has)
    INTO read, joint, named, tagged
    FROM (
        SELECT w.needles IS NULL OR m.folded_text LIKE ANY (w.needles), asked IS NULL OR m.folded_tags && asked
        FROM memory.memories m ORDER BY m.importance DESC, m.created_at DESC, m.id LIMIT sample
    ) s (held, has);
    by_tag := w.needles IS NULL OR asked IS NOT NULL AND tagged < named;
    named := CASE WHEN by_tag THEN tagged ELSE named END;
    scan := read < sample OR memory.go_on(greatest(w.count_most, w.most + w.skipped), joint, named, read);
END
$$;

-- One row for each memory of the page, headed by the total and by how many follow the start of the page (one more than
-- the limit at most: `most`); one row without a memory when the page is empty; no row when `near` is unknown. The page
-- ends when the texts before a memory reach `bytes`. `neighbours` is JSON: [[type, title, outgoing], ...], or null.
CREATE FUNCTION memory.search(workspace text, search jsonb, bytes bigint, neighbours_most bigint)
RETURNS TABLE (total bigint, picked integer, neighbours text, hit memory.memory_row)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_sort = off
AS $$
#variable_conflict use_variable
DECLARE
    w memory.wanted := jsonb_populate_record(NULL::memory.wanted, search);
    enough constant integer := 500;
    along boolean;
    ids text[];
BEGIN
    PERFORM set_config('memory.workspace', workspace, true);
    w.plain := num_nonnulls(
        w.texts, w.any_tag, w.every_tag, w.project, w.languages, w.frameworks, w.edges, w.near, w.after_exact
    ) = 0;
    IF w.near IS NOT NULL THEN
        PERFORM FROM memory.memories m WHERE m.id = w.near;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        w.near_ids := ARRAY(
            SELECT k.id FROM memory.walk(w.near, NULL, w.near_edges, w.depth, NULL) k WHERE k.depth > 0
        );
    END IF;
    IF w.edges IS NOT NULL THEN
        w.end_ids := memory.ends(w.edges, enough);
    END IF;
    IF w.plain THEN
        SELECT q.total, q.ids INTO total, ids FROM memory.quick(w) q;
        along := ids IS NOT NULL;
        w.by_tag := FALSE;
    ELSE
        SELECT c.scan, c.by_tag INTO along, w.by_tag FROM memory.choose(w) c;
        IF along THEN
            SELECT s.total, s.ids INTO total, ids FROM memory.scan(w) s;
        END IF;
    END IF;
    IF NOT along THEN
        SELECT f.total, f.ids INTO total, ids FROM memory.find(w) f;
    END IF;
    picked := cardinality(ids);
    IF picked = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT total, picked, (
        SELECT json_agg(
            json_build_array(n.type, o.title, n.outgoing) ORDER BY n.strength DESC, n.created_at DESC, n.id
        )::text
        FROM (
            SELECT r.id, r.type, r.strength, r.created_at, TRUE, r.to_id FROM memory.relationships r
            WHERE r.from_id = c.id AND r.valid_until IS NULL
            UNION ALL
            SELECT r.id, r.type, r.strength, r.created_at, FALSE, r.from_id FROM memory.relationships r
            WHERE r.to_id = c.id AND r.valid_until IS NULL
            ORDER BY 3 DESC, 4 DESC, 1 LIMIT neighbours_most
        ) n (id, type, strength, created_at, outgoing, other_id)
        JOIN memory.memories o ON o.id = n.other_id
    ), ROW(
        c.id, c.type, c.title, c.content, c.summary, c.tags, c.importance, c.confidence, c.context, c.created_at,
        c.updated_at, c.version
    )::memory.memory_row
    FROM (
        SELECT m.*, place, sum(m.size) OVER (ORDER BY place) - m.size AS before
        FROM unnest(ids) WITH ORDINALITY AS page (id, place)
        -- As a range, in order: only the primary key serves, whatever statistics say of the workspace.
        CROSS JOIN LATERAL (
            SELECT one.*, memory.size(one) AS size FROM memory.memories one
            WHERE one.id >= page.id AND one.id <= page.id ORDER BY one.id LIMIT 1
        ) m
        WHERE place < w.most
    ) c
    WHERE c.before < bytes
    ORDER BY c.place;
END
$$;

GRANT EXECUTE ON FUNCTION memory.search TO memories;

RESET ROLE;
