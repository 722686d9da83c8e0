-- Prompt tokens of requests for embeddings, so that a plan may price them apart. Records from before have none, and say
-- so; a gateway of the version before adds records without.

ALTER TABLE usage_records ADD COLUMN embeddings_tokens BIGINT NOT NULL DEFAULT 0
    CHECK (embeddings_tokens BETWEEN 0 AND prompt_tokens);
ALTER TABLE tallies_hourly ADD COLUMN embeddings_tokens BIGINT NOT NULL DEFAULT 0
    CHECK (embeddings_tokens BETWEEN 0 AND prompt_tokens);
