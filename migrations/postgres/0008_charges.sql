-- Invoice lines of charges, bounds and discounts. A gateway of the version before goes on serving: it writes no
-- other kinds.

ALTER TABLE invoice_lines
    DROP CONSTRAINT invoice_lines_kind_check,
    DROP CONSTRAINT invoice_lines_check,
    DROP CONSTRAINT invoice_lines_check1,
    DROP CONSTRAINT invoice_lines_check2,
    ADD CONSTRAINT invoice_lines_kind
        CHECK (kind IN ('charge', 'minimum', 'maximum', 'discount', 'slo_credit', 'not_billed', 'energy')),
    ADD CONSTRAINT invoice_lines_owed CHECK (kind NOT IN ('charge', 'minimum') OR displayed_minor >= 0),
    ADD CONSTRAINT invoice_lines_given
        CHECK (kind NOT IN ('maximum', 'discount', 'slo_credit') OR displayed_minor <= 0),
    ADD CONSTRAINT invoice_lines_told CHECK (kind NOT IN ('not_billed', 'energy') OR displayed_minor = 0);
