-- Invoice lines of charges, bounds and discounts. The table is made anew with more kinds and the same rows;
-- its guards come back with it. A gateway of the version before goes on serving: it writes no other kinds.

DROP TRIGGER invoice_lines_keep_update;
DROP TRIGGER invoice_lines_keep_delete;
DROP TRIGGER invoice_lines_keep_replace;
DROP TRIGGER invoice_lines_keep_count;
ALTER TABLE invoice_lines RENAME TO invoice_lines_before;

CREATE TABLE invoice_lines (
    number TEXT NOT NULL REFERENCES invoices (number),
    position INTEGER NOT NULL CHECK (position >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'minimum', 'maximum', 'discount', 'slo_credit', 'not_billed', 'energy')),
    item TEXT NOT NULL,
    model TEXT,
    price_version TEXT,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    unit TEXT NOT NULL,
    unit_price TEXT,
    exact TEXT NOT NULL,
    displayed_minor INTEGER NOT NULL,
    PRIMARY KEY (number, position),
    CHECK (kind NOT IN ('charge', 'minimum') OR displayed_minor >= 0),
    CHECK (kind NOT IN ('maximum', 'discount', 'slo_credit') OR displayed_minor <= 0),
    CHECK (kind NOT IN ('not_billed', 'energy') OR displayed_minor = 0)
) STRICT, WITHOUT ROWID;
INSERT INTO invoice_lines
SELECT number, position, kind, item, model, price_version, quantity, unit, unit_price, exact, displayed_minor
FROM invoice_lines_before;
DROP TABLE invoice_lines_before;

CREATE TRIGGER invoice_lines_keep_update BEFORE UPDATE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
CREATE TRIGGER invoice_lines_keep_delete BEFORE DELETE ON invoice_lines
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice is never deleted'); END;
CREATE TRIGGER invoice_lines_keep_replace BEFORE INSERT ON invoice_lines
WHEN EXISTS (SELECT 1 FROM invoice_lines WHERE number = NEW.number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'a line of an issued invoice never changes'); END;
CREATE TRIGGER invoice_lines_keep_count BEFORE INSERT ON invoice_lines
WHEN NOT EXISTS (SELECT 1 FROM invoices WHERE number = NEW.number AND NEW.position <= lines)
BEGIN SELECT RAISE(ABORT, 'an issued invoice takes no more lines'); END;
