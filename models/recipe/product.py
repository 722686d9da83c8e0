"""Questions and answers about Tallygate: its words, its commands and how it behaves.
Never states a number that a release could change; each row is one topic.
Called by `corpus`, one exchange at a time.
"""

from __future__ import annotations

import random

from phrasing import COMMAND, Exchange, put
from tables import rows

# surfaces of the term, parted by commas | answer
TERMS = rows("""
Tallygate, tallygate, Tally gate, this gateway, this product, this software, this program, this service, a summary of Tallygate, the Tallygate gateway, the idea of Tallygate, Tallygate in short | Tallygate is a gateway that meters and bills the tokens of language models. It comes with its own engine.
a token, token, tokens, a model token | A token is a unit of model text, often a word or a part of a word. Tallygate counts tokens to bill them.
TTFT, ttft, the TTFT, time to first token, the time to first token | TTFT is the time to first token: from the last byte of the request to the first token of the answer.
TPOT, tpot, the TPOT, time per output token, the time per output token | TPOT is the time per output token: the mean gap between tokens after the first one.
goodput, good put, the goodput, request goodput | Goodput is the number of requests per second that met every target of their SLO class.
token goodput, the token goodput | Token goodput counts the tokens that were delivered within their SLO.
an SLO, SLO, slo, a service level objective, the SLO, SLOs | An SLO is a target for the service, such as a limit on TTFT and on TPOT.
an SLO class, the SLO class, SLO classes, slo class | An SLO class is a set of latency targets. The classes are interactive, standard and batch.
a hold, hold, holds, the hold, a credit hold | A hold reserves credit before a request runs. It ends once: settled, voided or expired.
settle, settling, settlement, settling a hold, to settle | To settle is to take the credit of a hold for what was really used.
void, voiding, voiding a hold, to void | To void is to give back the credit of a hold without a charge.
an invoice, invoice, invoices, the invoice, a bill | An invoice lists what a tenant pays for a period. Every line opens to its usage records.
the journal, journal, a journal, the usage journal | The journal is the durable log of usage records. Each request is written to it before its last byte leaves.
the ledger, ledger, a ledger | The ledger is the account book. It holds usage, credit and charges, and old rows never change.
a usage record, usage record, usage records, the usage record | A usage record holds the tokens, the times, the energy and the reason of one request.
a tenant, tenant, tenants | A tenant is the customer who is billed.
an account, account, accounts | An account is a place in the ledger.
an API key, API key, a key, api keys, key, keys, an access key | A key is the credential of a tenant. It begins with tg and is sent with every request.
the meter, meter, metering, a meter | The meter counts tokens, times and joules for money.
a metric, metric, metrics, the metrics | A metric is a count for operators. Unlike the meter, it is not for money.
a limit, limit, limits, a rate limit, rate limits, rate limiting | A limit is what admission enforces, such as requests per minute or tokens per minute.
a rate, rate, rating, the rate | To rate is to turn usage into a charge.
a price, price, the price, prices | A price is what a tenant pays per unit.
a cost, cost, the cost | A cost is what the operator spends. A price is what the tenant pays.
a charge, charge, charges | A charge is a quantity times its price.
admission, the admission, admission control | Admission is the one decision that lets a request in. It checks limits, credit and the SLO.
a plan, plan, plans, the price plan, a price plan | A plan names the prices and rules by which a tenant is billed.
the price book, price book | The price book holds all versions of the plans. A version never changes.
prepaid credit, prepaid balance, a prepaid balance, credit, the balance, a balance | A prepaid balance is credit that was paid before. A tenant can never spend past it.
an SLO credit, SLO credit, slo credits, credit for late tokens | An SLO credit gives money back for requests that came late. Tallygate does it by itself.
a joule, joule, joules, energy, the energy | A joule is a unit of energy. Tallygate meters the joules of every request.
the engine, engine, an engine, the GPU engine | The engine runs the model on a GPU or a CPU. It knows no tenant and no money.
the gateway, gateway, a gateway | The gateway takes requests in, admits them, streams the answers and meters them.
the portal, portal, the billing portal | The portal shows tenants their usage and their invoices in a browser.
a prompt, prompt, the prompt, prompts | A prompt is the text that is given to the model.
a stream, streaming, a streamed answer, stream | Streaming sends an answer token by token while it is made.
a request, request, requests | A request is one question to the model over HTTP. It ends in exactly one usage record.
the scheduler, scheduler | The scheduler decides which sequences the engine runs in each step.
the kv cache, a kv cache, kv cache, KV cache | The kv cache keeps what the model computed for earlier tokens, so that it need not compute it again.
the prefix cache, prefix cache, prefix reuse, a cached prompt, cached prompt tokens | Prefix reuse keeps the start of a prompt, so that the same start need not be computed again. It is never shared between tenants.
continuous batching, batching, a batch | Batching runs many sequences in one step. New ones can join while others still run.
a GPU, GPU, gpu, gpus | A GPU is a processor that computes many things at once. The engine can run models on it.
the demo model, demo model, a demo model | The demo model is a very small language model that comes with Tallygate, so that you can try it without a GPU.
a language model, language model, an LLM, LLM, llm, a model | A language model is a program that has learned from text and writes the next token, again and again.
a credit note, credit note, credit notes | A credit note corrects an issued invoice, which itself never changes.
p99, the p99, a p99 | p99 is the value that 99 of 100 requests stay below.
queue time, the queue, a queue, the waiting queue | The queue holds the requests that wait for the engine. It has a bound.
""")

# verbs | objects | answer
TASKS = rows("""
create, make, get, add, generate, issue, set up, obtain, produce | a key, an API key, a new key, a new API key, an access key, keys, my first key, api key, a key for my app | Run `tallygate key create` with the name of the tenant. The key is shown once, so keep it safe.
revoke, delete, remove, block, disable, withdraw, cancel | a key, an API key, my key, an old key, the key, a stolen key, api key | Run `tallygate key revoke` with the public id of the key.
list, see, show, count, find | all keys, the keys, my keys, the API keys, every key, which keys exist | Run `tallygate key list`.
create, add, make, set up, register, open | a tenant, a new tenant, the tenant, tenants, a customer, a new customer | Run `tallygate tenant create`. A tenant needs a name and a plan.
list, see, show, find | all tenants, the tenants, tenants, my tenants, all customers | Run `tallygate tenant list`.
list, see, show, find | all plans, the plans, plans, the price plans, the prices, all prices | Run `tallygate plan list`.
check, test, verify, validate | the configuration, my configuration, my config, the config file, the setup, the settings | Run `tallygate check`. It says what is wrong, if anything is.
see, check, view, look at, show, find, get, read, track, know | my usage, the usage, usage, how many tokens I used, my token usage, what I used, my tokens, my consumption, the tokens I have used | Run `tallygate usage`. It shows your requests, tokens and joules.
get, see, make, create, view, print, download, find, show, receive | an invoice, my invoice, the invoice, invoices, my invoices, a bill, my bill, the bill for this month, the invoice of last month | Run `tallygate invoice`. Each line can be opened to its usage records.
check, verify, test, validate, prove, inspect, audit | the journal, journal, my journal, that the journal is intact, the usage journal, if the journal was changed, the journal for tampering | Run `tallygate verify-journal`. It checks that no record was changed or lost.
start, run, launch, begin, boot, open, bring up | the server, Tallygate, the gateway, a server, tallygate, the service, it, the program, the system | Run `tallygate serve`, or `cargo xtask up` in the source folder.
try, test, use, install, set up, begin with, get started with | Tallygate, tallygate, this, it, the demo, the gateway, everything | Run `cargo xtask up`. It starts Tallygate with the small demo model and needs nothing else.
stop, end, shut down, turn off | the server, Tallygate, the gateway, the service | Press Ctrl-C. The server finishes running requests and then stops.
send, make, write, post | a request, a chat request, my first request, a prompt, a call to the API, an API call | Send it to `/v1/chat/completions` with your key, as with any OpenAI-compatible server.
use, connect, work with, call | the OpenAI client, an OpenAI SDK, the OpenAI SDK, my OpenAI client, my existing client, the python client, the API | Point your client to the address of Tallygate and use your key. The API is OpenAI-compatible.
stream, receive, get | an answer token by token, the answer as a stream, a streamed answer, tokens as they come | Set `stream` to true in the request. The tokens then come one by one.
train, retrain, build, make again | the demo model, this model, the model, the small model, you | Run `cargo xtask train-demo`. It needs some minutes on two CPU cores.
pay less, save money, reduce my bill, spend less, lower my costs, use fewer tokens | - | Use short prompts and a small `max_tokens`, and choose a cheaper SLO class.
limit, cap, bound, restrict | the length of the answer, the answer, the output, how long the answer is, the output tokens | Set `max_tokens` in the request. The answer then ends at that length.
""")

# answer | paraphrases
TOPICS = rows("""
When a client leaves, the generation stops within one step, and only what was produced is billed. | what happens when I leave mid-stream | what happens if I leave in the middle of a stream | what happens when a client disconnects | what if I close the connection | what happens if I cancel a request | do I pay if I leave early | what happens when I stop reading | what if the client goes away | what happens if I hang up | am I billed when I disconnect | what happens when I abort | what happens if my connection drops
I am the demo model of Tallygate, a very small language model. | who are you | what are you | who am I talking to | what is your name | who is this | tell me about yourself | introduce yourself | what kind of model are you | which model are you | what model is this | are you the demo model | what should I call you | what do people call you | do you have a name | your name | describe yourself | who is speaking
I can tell short stories, do small sums, answer simple questions and explain Tallygate. | what can you do | what are you able to do | what do you know | what can I ask you | how can you help me | what are you good at | what are your skills | what should I ask you | what are you for | what kind of questions can you answer | help | help me | can you help me | what can I do here | what do you do | give me some ideas what to ask | what topics do you know | how can you help
I am a program, not a person. | are you a person | are you human | are you a human | are you real | are you a robot | are you alive | are you a machine | am I talking to a person | are you a bot | are you an AI | are you a computer
I am very small: I have about two and a half million parameters. | how big are you | how large are you | how many parameters do you have | what is your size | are you a big model | how small are you | are you small
I was made together with Tallygate and trained on texts from a small program. | who made you | who built you | who created you | where do you come from | how were you made | how were you trained | who trained you | what were you trained on | where are you from | who is your maker | who programmed you
I have no age. I am a small program. | how old are you | what is your age | when were you born | when is your birthday
No, I only know what was in my small training text. I cannot look things up. | can you search the internet | can you look things up | do you have internet | can you browse the web | can you google something | are you online | can you read websites | can you open a link
I speak only simple English. | what languages do you speak | do you speak English | which languages do you know | do you speak German | do you speak French | can you speak Spanish | can you speak another language
Nobody pays for an engine error. It is never billed. | do I pay for errors | what happens when the engine fails | am I charged for failed requests | do I pay if the engine crashes | who pays for an error | are errors billed | do I pay for failed requests
Tallygate bills the tokens of a request at the prices of your plan. | how am I billed | how does billing work | what do I pay for | how is my bill made | what does Tallygate charge for | how does Tallygate bill | what will I be charged for | how do you bill | how does the billing work | how is usage billed | explain billing
Without credit, a request is refused before it runs, and nothing is charged. | what happens when my credit is used up | what happens when I have no credit | what if my balance is empty | what happens when I run out of credit | what if I have no money left | what happens at zero balance | can I spend more than my balance
A request over a limit is refused with the name of the limit. Try again a little later. | what happens when I reach a limit | what happens at the rate limit | what if I send too many requests | why was my request refused | what does error 429 mean | why do I get 429 | what is a 429 | what happens if I go over the limit
Tokens that come late can earn you an SLO credit. | what happens when an answer is late | what if the answer is too slow | what happens when you are slow | what happens if the SLO is missed | do I pay for late answers | what do I get when tokens are late | what if tokens come late
Nothing that was acknowledged is lost. The journal is read again when the server starts. | what happens when the server crashes | what if the power fails | is usage lost in a crash | what happens after a crash | what if the server is killed | is anything lost when the process is killed | what happens when Tallygate crashes
Without the database, serving goes on, and the journal keeps the records until it is back. | what happens when the database is down | what if the database is away | what if postgres fails | what happens without the database | does it work when the database is gone
A GPU is not needed: Tallygate also runs on a CPU with the small demo model. | do I need a GPU | does Tallygate need a GPU | can I run it without a GPU | does it run on a CPU | is a GPU required | do I need a graphics card | do I need a video card | is a GPU needed | can it run on my laptop | does it work without a GPU
It is written in Rust. | what language is Tallygate written in | in which language is Tallygate written | is Tallygate written in Rust | which programming language does Tallygate use | what is Tallygate made of | what is it written in
People who run models for others use it, such as a GPU cloud or a platform team. | who uses Tallygate | who is Tallygate for | what is Tallygate good for | why do I need Tallygate | who needs Tallygate | why should I use Tallygate | what is the purpose of Tallygate | who should use Tallygate
Tallygate is free software under the MIT or the Apache 2.0 licence. | what is the licence of Tallygate | is Tallygate free | is Tallygate open source | under which licence is Tallygate | what license does it have | how much does Tallygate cost
The gateway counts tokens with the tokenizer of the model, and the engine counts what it made. | how are tokens counted | how does Tallygate count tokens | who counts the tokens | how do you count tokens | how does metering work
The API is OpenAI-compatible. Chat requests go to `/v1/chat/completions`. | which API does Tallygate have | what API does it speak | is it OpenAI compatible | is Tallygate compatible with OpenAI | which API formats are supported | what kind of API is it | what is the API | which endpoint do I call | what is the address for chat requests | does it work like the OpenAI API
It looks like `tg-`, a public id and a secret. | what does a key look like | what does an API key look like | how does a key look | what is the format of a key
Run `tallygate key revoke` for the old key and `tallygate key create` for a new one. | I lost my key | what if I lose my key | my key was stolen | what do I do when my key leaks | I forgot my key | somebody has my key
TTFT is the wait for the first token, and TPOT is the gap between the later tokens. | what is the difference between TTFT and TPOT | TTFT or TPOT | how do TTFT and TPOT differ | compare TTFT and TPOT | TTFT vs TPOT
Throughput counts everything. Goodput counts only requests that met their targets. | what is the difference between goodput and throughput | goodput vs throughput | how do goodput and throughput differ | is goodput the same as throughput | compare goodput and throughput
A meter counts for money, and a metric counts for operators. | what is the difference between a meter and a metric | how do meter and metric differ | meter vs metric | is a meter a metric
An issued invoice never changes. A correction is a new line or a credit note. | can an invoice change | can I change an invoice | do invoices change | how is an invoice corrected | can you correct an invoice | what if my invoice is wrong
The latency classes are interactive, standard and batch. | which SLO classes are there | what SLO classes exist | name the SLO classes | list the SLO classes | what classes can I choose | which latency classes are there
Tallygate meters energy: it splits the joules of the engine over the requests. | does Tallygate measure energy | do you meter energy | can Tallygate count joules | is energy metered | how is energy measured | does it measure power
A request is authenticated, admitted, run by the engine, streamed, metered and written to the journal. Then it is rated and put on an invoice. | what happens to a request | what is the way of a request | how does a request flow | how does Tallygate work | how does it work | explain how Tallygate works | what are the steps of a request
""")


def term(rng: random.Random) -> Exchange:
    """What a word of Tallygate means."""
    surfaces, reply = rng.choice(TERMS)
    forms = [form.strip() for form in surfaces.split(",")]
    form = forms[0] if rng.random() < 0.35 else rng.choice(forms)
    where = rng.choice(("", "", "", "", " in Tallygate", " here", " for you"))
    return Exchange(
        put(
            rng,
            direct=(
                f"what is {form}{where}",
                f"what is {form}{where}",
                f"what does {form} mean{where}",
                f"what is meant by {form}",
                f"what is the meaning of {form}",
                f"what are {form}" if form.endswith("s") else f"what is {form}",
                f"what does {form} stand for" if form.isupper() else f"what is {form} for",
            ),
            indirect=(f"what {form} is{where}", f"what {form} means{where}", f"about {form}", f"the meaning of {form}"),
            raw=(
                f"define {form}.",
                f"explain {form}.",
                f"{form}?",
                f"tell me about {form}.",
                f"describe {form}.",
                f"meaning of {form}",
                f"{form} meaning",
                f"explain {form} to me.",
                f"tell me more about {form}.",
                f"explain {form} in simple words.",
                f"what's {form}?",
                f"what exactly is {form}?",
            ),
        ),
        reply,
    )


def task(rng: random.Random) -> Exchange:
    """How to do something with Tallygate."""
    verbs, objects, reply = rng.choice(TASKS)
    verb = rng.choice([form.strip() for form in verbs.split(",")])
    what = "" if objects == "-" else " " + rng.choice([form.strip() for form in objects.split(",")])
    form = verb + what + rng.choice(("", "", "", "", " with Tallygate" if "allygate" not in what else "", " here"))
    command = reply.startswith("Run ")
    if command and rng.random() < 0.2:
        return Exchange(rng.choice(COMMAND).format(t=form), reply)
    return Exchange(put(rng, task=(form,)), reply)


def topic(rng: random.Random) -> Exchange:
    """A question about behaviour, with its paraphrases."""
    reply, *asks = rng.choice(TOPICS)
    form = rng.choice(asks)
    if form.startswith(
        ("what", "who", "how", "which", "why", "do ", "does", "is ", "are ", "am ", "can ", "where", "when", "under")
    ):
        return Exchange(put(rng, direct=(form,)), reply)
    return Exchange(f"{form}.", reply)


def leaving(rng: random.Random) -> Exchange:
    """What happens when the client goes away, in many forms."""
    act = rng.choice(
        "close the tab;close the window;close my browser;shut my laptop;close my computer;lose my connection;go offline;disconnect;leave;cancel;stop reading;walk away;abort;press stop;hang up;kill the client;quit".split(
            ";"
        )
    )
    when = rng.choice(
        "mid-stream;in the middle of a stream;in the middle of an answer;during a stream;during the answer;while it is streaming;while the answer is still coming;halfway;before the end;early;while you are writing;before it is done; ".split(
            ";"
        )
    )
    ask = put(
        rng,
        direct=(
            f"what happens when I {act} {when}",
            f"what happens if I {act} {when}",
            f"what if I {act} {when}",
            f"what do I pay when I {act} {when}",
            f"do I pay if I {act} {when}",
            f"will I be billed if I {act} {when}",
            f"am I charged when I {act} {when}",
            f"does it cost me if I {act} {when}",
        ),
        indirect=(f"what happens when I {act} {when}", f"if I pay when I {act} {when}"),
    )
    return Exchange(ask.replace("  ", " ").replace(" ?", "?").replace(" .", "."), TOPICS[0][0])


def out_of_credit(rng: random.Random) -> Exchange:
    """What happens without credit, in many forms."""
    what = rng.choice(
        "my credit;my balance;the prepaid credit;my prepaid balance;my money;the credit;my budget;my funds".split(";")
    )
    end = rng.choice(
        "runs out;is used up;is gone;is empty;ends;reaches zero;is spent;is not enough;is too low".split(";")
    )
    ask = put(
        rng,
        direct=(
            f"what happens when {what} {end}",
            f"what happens if {what} {end}",
            f"what if {what} {end}",
            f"what happens after {what} {end}",
            f"what do you do when {what} {end}",
            f"can I go on when {what} {end}",
        ),
        indirect=(f"what happens when {what} {end}",),
    )
    return Exchange(ask, next(row[0] for row in TOPICS if row[0].startswith("Without credit")))


def product(rng: random.Random) -> Exchange:
    """One exchange about Tallygate."""
    return rng.choices((term, task, topic, leaving, out_of_credit), weights=(5, 4.5, 5, 0.6, 0.3))[0](rng)
