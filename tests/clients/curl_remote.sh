#!/usr/bin/env bash
# curl against a Tallygate whose models run on an OpenAI-compatible server.
# Prints `ok name` or `FAIL name: why` for each case and ends with a failure when any case failed. Reads
# TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget pays for nothing. The models `tools`, `json` and
# `embed` do what their names say; `flaky` answers at the third time, and nobody can pay for `dear`.
set -uo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Fails the case with a reason. Each case runs in a shell of its own.
fail() { echo "$*" | tr '\n' ' ' >"$folder/why"; exit 1; }

# ask PATH BODY [curl options]: prints the answer, then a line with the status.
ask() {
    local path=$1 body=$2
    shift 2
    curl --silent --show-error --max-time 60 --write-out '\n%{http_code}' \
        --header "authorization: Bearer ${key:-$TALLYGATE_KEY}" --header 'content-type: application/json' \
        --data "$body" "$@" "$TALLYGATE_BASE_URL$path"
}

# chat MODEL [MORE FIELDS]: a request with a question.
chat() { echo '{"model": "'"$1"'", "messages": [{"role": "user", "content": "What is the weather in Paris?"}]'"${2:-}"'}'; }

# expect STATUS TEXT ANSWER: the answer ends with the status and has the text in it.
expect() {
    [[ $(tail -n 1 <<<"$3") == "$1" ]] || fail "no status $1: $3"
    grep -qF -- "$2" <<<"$3" || fail "no $2: $3"
}

weather=', "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]'

tools_are_called() {
    expect 200 '"finish_reason":"tool_calls"' "$(ask /chat/completions "$(chat tools "$weather")")"
    local stream
    stream=$(ask /chat/completions "$(chat tools "$weather, \"stream\": true")" --no-buffer)
    expect 200 '"name":"weather"' "$stream"
    [[ $(grep '^data: ' <<<"$stream" | tail -n 1) == "data: [DONE]" ]] || fail "no end: $stream"
}

an_output_of_a_schema() {
    local format=', "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": {}}}'
    expect 200 '{\"city\": \"Paris\"}' "$(ask /chat/completions "$(chat json "$format")")"
}

vectors() {
    expect 200 '[0.5,-0.25,1.0]' "$(ask /embeddings '{"model": "embed", "input": ["one", "two"]}')"
}

errors_of_the_backend() {
    expect 400 '"origin":"backend"' "$(ask /chat/completions "$(chat hot)")"
    expect 400 '"message":"too hot"' "$(ask /chat/completions "$(chat hot)")"
}

a_busy_server_is_retried_until_it_answers() {
    local answer
    answer=$(ask /chat/completions "$(chat flaky)" --retry 2 --dump-header "$folder/headers")
    expect 200 '"content":"at last"' "$answer"
    [[ $(grep -c '^HTTP' "$folder/headers") == 3 ]] || fail "$(cat "$folder/headers")"
    [[ $(grep -ci '^retry-after: 1' "$folder/headers") == 2 ]] || fail "$(cat "$folder/headers")"
}

a_spent_budget_says_that_no_retry_helps() {
    # curl does not look at it by itself; whoever writes a script can.
    export key=$TALLYGATE_POOR_KEY
    expect 429 '"code":"budget_exceeded"' "$(ask /chat/completions "$(chat dear)" --dump-header "$folder/headers")"
    grep -qi '^x-should-retry: false' "$folder/headers" || fail "$(cat "$folder/headers")"
}

is_good=true
for name in tools_are_called an_output_of_a_schema vectors errors_of_the_backend \
    a_busy_server_is_retried_until_it_answers a_spent_budget_says_that_no_retry_helps; do
    : >"$folder/why"
    if ("$name"); then
        echo "ok $name"
    else
        is_good=false
        echo "FAIL $name: $(cat "$folder/why")"
    fi
done
$is_good
