#!/usr/bin/env bash
# curl against a running Tallygate, as in its documentation and in many a shell script.
# Prints `ok name` or `FAIL name: why` for each case and ends with a failure when any case failed. Reads
# TALLYGATE_BASE_URL, TALLYGATE_KEY (no limits), TALLYGATE_LIMITED_KEY (two requests a minute) and
# TALLYGATE_SINGLE_KEY (one request at a time).
set -uo pipefail

base=$TALLYGATE_BASE_URL
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Fails the case with a reason. Each case runs in a shell of its own.
fail() { echo "$*" | tr '\n' ' ' >"$folder/why"; exit 1; }

# ask BODY [curl options]: prints the answer, then a line with the status.
ask() {
    local body=$1
    shift
    curl --silent --show-error --max-time 120 --write-out '\n%{http_code}' \
        --header "authorization: Bearer ${key:-$TALLYGATE_KEY}" --header 'content-type: application/json' \
        --data "$body" "$@" "$base/chat/completions"
}

# request [MORE FIELDS]: a request with a question.
request() { echo '{"model": "demo", "max_tokens": 16, "messages": [{"role": "user", "content": "What is goodput?"}]'"${1:-}"'}'; }

# expect STATUS TEXT ANSWER: the answer ends with the status and has the text in it.
expect() {
    [[ $(tail -n 1 <<<"$3") == "$1" ]] || fail "no status $1: $3"
    grep -qF -- "$2" <<<"$3" || fail "no $2: $3"
}

a_plain_chat() {
    local answer
    answer=$(ask "$(request)") || fail "curl ended with $?"
    expect 200 '"object":"chat.completion"' "$answer"
    expect 200 '"completion_tokens":' "$answer"
}

a_stream() {
    local answer
    answer=$(ask "$(request ', "stream": true')" --no-buffer --dump-header "$folder/headers") || fail "curl ended with $?"
    grep -qi '^content-type: text/event-stream' "$folder/headers" || fail "$(cat "$folder/headers")"
    [[ $(grep -c '^data: ' <<<"$answer") -gt 2 ]] || fail "few events: $answer"
    [[ $(grep '^data: ' <<<"$answer" | tail -n 1) == "data: [DONE]" ]] || fail "no end: $answer"
    # Each event is one line with a blank one behind it.
    [[ -z $(sed '$d' <<<"$answer" | grep -v '^data: ' | grep -v '^$') ]] || fail "other lines: $answer"
}

http_1_0() {
    expect 200 '"object":"chat.completion"' "$(ask "$(request)" --http1.0)"
}

a_body_in_chunks_after_a_permission() {
    # Without a length, and only when the server says that it wants it.
    local answer
    answer=$(request | ask @- --header 'transfer-encoding: chunked' --header 'expect: 100-continue')
    expect 200 '"object":"chat.completion"' "$answer"
}

one_connection_for_many() {
    local count
    count=$(curl --silent --header "authorization: Bearer $TALLYGATE_KEY" --output /dev/null --output /dev/null \
        --output /dev/null --write-out '%{num_connects}\n' "$base/models" "$base/models" "$base/models" | paste -sd+)
    [[ $((count)) == 1 ]] || fail "$count connections for three requests"
}

errors_have_a_status_and_a_code() {
    expect 401 '"code":"invalid_api_key"' "$(key=wrong ask "$(request)")"
    expect 404 '"code":"model_not_found"' "$(ask '{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}')"
    expect 400 '"param":"temperature"' "$(ask "$(request ', "temperature": 9')")"
    expect 400 '"origin":"gateway"' "$(ask '{')"
    expect 405 'method_not_allowed' "$(ask '' --request PUT)"
    ask "$(request ', "temperature": 9')" --fail >/dev/null 2>&1
    [[ $? == 22 ]] || fail "--fail does not fail"
}

a_retry_waits_as_told() {
    export key=$TALLYGATE_SINGLE_KEY
    ask "$(request ', "stream": true, "ignore_eos": true' | sed 's/16/400/')" --no-buffer >"$folder/stream" &
    local stream=$!
    for _ in {1..200}; do [[ -s $folder/stream ]] && break; sleep 0.02; done
    local answer
    answer=$(ask "$(request)" --retry 10 --dump-header "$folder/headers")
    wait "$stream"
    expect 200 '"object":"chat.completion"' "$answer"
    grep -qF 'data: [DONE]' "$folder/stream" || fail "the stream is not whole: $(tail -c 200 "$folder/stream")"
}

limits_are_told() {
    export key=$TALLYGATE_LIMITED_KEY
    expect 200 '"usage"' "$(ask "$(request)")"
    expect 200 '"usage"' "$(ask "$(request)")"
    expect 429 '"code":' "$(ask "$(request)" --dump-header "$folder/headers")"
    grep -qiE '^retry-after: [0-9]+' "$folder/headers" || fail "$(cat "$folder/headers")"
}

is_good=true
for name in a_plain_chat a_stream http_1_0 a_body_in_chunks_after_a_permission one_connection_for_many \
    errors_have_a_status_and_a_code a_retry_waits_as_told limits_are_told; do
    : >"$folder/why"
    if ("$name"); then
        echo "ok $name"
    else
        is_good=false
        echo "FAIL $name: $(cat "$folder/why")"
    fi
done
$is_good
