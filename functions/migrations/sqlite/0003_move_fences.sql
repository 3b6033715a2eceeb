-- A move keeps writers out for seconds that end by themselves, and its work is one worker's at a time. PostgreSQL does
-- the same (0017), and says more.
--
-- `paused_until`: until then writes are refused while the database is open, by its own clock, in seconds since 1970; not
-- for more than 15 seconds from now, should that be set back. `worker`: who may write below the fence when it is closed.

ALTER TABLE _fence ADD COLUMN paused_until REAL;

ALTER TABLE _fence ADD COLUMN worker TEXT;

DROP TRIGGER gate_is_passed;

CREATE TRIGGER gate_is_passed INSTEAD OF INSERT ON gate
BEGIN
  SELECT RAISE(ABORT, 'MG421') WHERE NOT EXISTS (
    SELECT 1 FROM _fence WHERE epoch = new.epoch AND mode = 'open' AND (
      paused_until IS NULL
      OR paused_until - (julianday('now') - 2440587.5) * 86400.0 NOT BETWEEN 0 AND 15
    )
  );
  UPDATE _usage SET memories_most = new.memories_most, bytes_most = new.bytes_most, each = new.each
  WHERE memories_most IS NOT new.memories_most OR bytes_most IS NOT new.bytes_most OR each <> new.each;
  DELETE FROM _refused;
END;
