"""Stripe's official client against the fake of Stripe that tests of billing use: what the client takes for Stripe, is one.

The cases are listed and run by `cases`. Reads STRIPE_ORIGIN and STRIPE_KEY. What Stripe has no call for (faults, the
clock, what a customer does on a page) is told to the fake at `/_fake/`.
"""

import http.server
import json
import os
import threading
import time
import urllib.error
import urllib.request
import uuid

import stripe

from cases import case, check, run

ORIGIN = os.environ["STRIPE_ORIGIN"]
KEY = os.environ["STRIPE_KEY"]
SECRETS = ["whsec_referee_new", "whsec_referee_old"]
DAY = 24 * 60 * 60

stripe.api_base = ORIGIN
stripe.api_key = KEY
# No retries: a case must see the first answer.
stripe.max_network_retries = 0


def fake(act, **said):
    """Tells the fake what Stripe could not be told."""
    body = json.dumps(said).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{ORIGIN}/_fake/{act}", body), timeout=60) as answer:
        return json.load(answer)


def raises(kind, call, **expected):
    """Calls and gives the error, which must be of exactly this kind and have these fields."""
    try:
        call()
    except stripe.StripeError as error:
        check(type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}")
        for name, value in expected.items():
            # Not every kind of error has the code in a place of its own.
            found = getattr(error, name, None) or getattr(error.error, name, None)
            check(found == value, f"{name} is {found!r} instead of {value!r}: {error}")
        return error
    raise AssertionError(f"no {kind.__name__}")


def is_invalid(call, **expected):
    return raises(stripe.InvalidRequestError, call, **expected)


def same(found, expected):
    check(found == expected, f"{found!r} instead of {expected!r}")


def customer(**fields):
    return stripe.Customer.create(name="Acme", email="billing@acme.example", **fields)


def payer(card="pm_card_visa"):
    """A customer with a card that is charged."""
    return customer(payment_method=card, invoice_settings={"default_payment_method": card})


def draft(of, amounts=(700, 300), **fields):
    invoice = stripe.Invoice.create(customer=of.id, currency="usd", **fields)
    if amounts:
        invoice.add_lines(lines=[{"amount": amount, "description": f"Line of {amount}"} for amount in amounts])
    return stripe.Invoice.retrieve(invoice.id)


def final(of, amounts=(700, 300), **fields):
    return draft(of, amounts, **fields).finalize_invoice()


def events(kind, of):
    """The events of a kind about an object, the oldest first."""
    found = stripe.Event.list(type=kind, limit=100)
    return [event for event in found.auto_paging_iter() if event.data.object.id == of.id][::-1]


# -- who asks, and how


@case
def only_the_secret_key_is_let_in():
    for key in ["sk_test_other", "sk_live_fake"]:
        error = raises(stripe.AuthenticationError, lambda: stripe.Customer.list(api_key=key), http_status=401)
        same(error.error.type, "invalid_request_error")
    for header in [None, "Basic OnNr", "Token x"]:
        request = urllib.request.Request(f"{ORIGIN}/v1/customers", headers={"Authorization": header} if header else {})
        try:
            urllib.request.urlopen(request, timeout=60)
            raise AssertionError(f"{header} was let in")
        except urllib.error.HTTPError as error:
            same(error.code, 401)


@case
def every_answer_has_its_id_and_version():
    found = customer()
    headers = found.last_response.headers
    check(headers["Request-Id"].startswith("req_"), f"{headers}")
    same(headers["Stripe-Version"], stripe.api_version)
    other = customer()
    check(other.last_response.headers["Request-Id"] != headers["Request-Id"], "the same request id twice")
    old = customer(stripe_version="2025-09-30.clover")
    same(old.last_response.headers["Stripe-Version"], "2025-09-30.clover")
    is_invalid(lambda: customer(stripe_version="newest"), http_status=400)


@case
def errors_name_the_parameter():
    error = is_invalid(lambda: stripe.Customer.retrieve("cus_none"), code="resource_missing", param="id", http_status=404)
    same(error.user_message, "No such customer: 'cus_none'")
    check("error-codes/resource-missing" in error.error.doc_url, error.error.doc_url)
    check(error.request_id.startswith("req_"), f"{error.request_id}")
    is_invalid(lambda: stripe.Invoice.create(currency="usd"), code="parameter_missing", param="customer", http_status=400)
    is_invalid(lambda: stripe.Customer.create(nickname="x"), code="parameter_unknown", param="nickname", http_status=400)
    is_invalid(lambda: stripe.Invoice.create(customer="cus_none"), code="resource_missing", param="customer", http_status=400)
    is_invalid(lambda: stripe.Customer.create(balance="much"), code="parameter_invalid_integer", param="balance")
    of = customer()
    bad = [{"amount": 1}, {"amount": "1.5"}]
    is_invalid(lambda: draft(of, ()).add_lines(lines=bad), code="parameter_invalid_integer", param="lines[1][amount]")
    is_invalid(lambda: stripe.Invoice.list(status="late"), param="status")
    is_invalid(lambda: stripe.Invoice.list(limit=101), param="limit")
    error = is_invalid(lambda: stripe.Subscription.list(), http_status=404)
    check("Unrecognized request URL (GET: /v1/subscriptions)" in str(error), f"{error}")


# -- objects


@case
def customers_are_made_changed_and_deleted():
    made = customer(metadata={"tenant": "acme", "old": "1"}, address={"city": "Berlin", "country": "DE"})
    same((made.object, made.email, made.balance, made.metadata["tenant"]), ("customer", "billing@acme.example", 0, "acme"))
    same(made.address.city, "Berlin")
    changed = stripe.Customer.modify(made.id, name="Acme GmbH", metadata={"old": "", "new": "2"})
    same((changed.name, changed.metadata.to_dict()), ("Acme GmbH", {"tenant": "acme", "new": "2"}))
    same(stripe.Customer.modify(made.id, metadata="").metadata.to_dict(), {})
    same(stripe.Customer.retrieve(made.id).name, "Acme GmbH")
    check(made.delete().deleted, "it is not deleted")
    check(stripe.Customer.retrieve(made.id).deleted, "it is not told to be deleted")
    is_invalid(lambda: stripe.Customer.modify(made.id, name="x"), code="resource_missing")
    is_invalid(lambda: stripe.Invoice.create(customer=made.id), code="resource_missing", http_status=400)
    same([len(events(f"customer.{what}", made)) for what in ["created", "updated", "deleted"]], [1, 2, 1])


@case
def lists_have_pages():
    of = customer()
    made = [stripe.Invoice.create(customer=of.id, currency="usd").id for _ in range(25)]
    first = stripe.Invoice.list(customer=of.id)
    same(([found.id for found in first.data], first.has_more), (made[::-1][:10], True))
    same(first.url, "/v1/invoices")
    same([found.id for found in first.auto_paging_iter()], made[::-1])
    last = stripe.Invoice.list(customer=of.id, limit=10, starting_after=made[5])
    same(([found.id for found in last.data], last.has_more), (made[:5][::-1], False))
    back = stripe.Invoice.list(customer=of.id, limit=3, ending_before=made[0])
    same(([found.id for found in back.data], back.has_more), (made[1:4][::-1], True))
    same([found.id for found in back.auto_paging_iter()], made[1:])
    same(stripe.Invoice.list(customer=of.id, status="open").data, [])
    same(len(stripe.Invoice.list(customer=of.id, status="draft", limit=100).data), 25)
    now = int(time.time())
    same(stripe.Invoice.list(customer=of.id, created={"gt": now + DAY}).data, [])
    same(len(stripe.Invoice.list(customer=of.id, created={"gte": now - DAY}, limit=100).data), 25)
    is_invalid(lambda: stripe.Invoice.list(starting_after="in_none"), param="starting_after")


@case
def ids_are_expanded():
    of = payer()
    invoice = stripe.Invoice.create(customer=of.id, expand=["customer"])
    same(invoice.customer.id, of.id)
    paid = final(of).pay(expand=["payments.data.payment.payment_intent.latest_charge"])
    check("payments" not in stripe.Invoice.retrieve(paid.id), "payments come without being asked for")
    same(paid.payments.data[0].payment.payment_intent.latest_charge.amount, 1000)
    listed = stripe.Invoice.list(customer=of.id, expand=["data.customer"])
    same({found.customer.name for found in listed.data}, {"Acme"})
    is_invalid(lambda: stripe.Invoice.retrieve(paid.id, expand=["colour"]), param="expand")
    # Nothing is made when the answer cannot be as asked.
    is_invalid(lambda: stripe.Invoice.create(customer=of.id, expand=["colour"]), param="expand")
    same(len(stripe.Invoice.list(customer=of.id).data), 2)


@case
def a_search_finds_what_is_not_new():
    name = str(uuid.uuid4())
    of = customer()
    made = stripe.Invoice.create(customer=of.id, metadata={"number": name})
    stripe.Invoice.create(customer=of.id, metadata={"number": "other"})
    query = f"metadata['number']:'{name}'"
    same(stripe.Invoice.search(query=query).data, [])
    same([found.id for found in stripe.Invoice.list(customer=of.id).data if found.metadata["number"] == name], [made.id])
    fake("clock", seconds=61)
    same([found.id for found in stripe.Invoice.search(query=query).auto_paging_iter()], [made.id])
    same([found.id for found in stripe.Invoice.search(query=f'{query} AND customer:"{of.id}"').data], [made.id])
    same(stripe.Invoice.search(query=f"{query} AND status:'open'").data, [])
    pages = stripe.Invoice.search(query=f"customer:'{of.id}'", limit=1)
    same((len(pages.data), pages.has_more, len(list(pages.auto_paging_iter()))), (1, True, 2))
    is_invalid(lambda: stripe.Invoice.search(query="number=1"), param="query")
    is_invalid(lambda: stripe.Invoice.search(query="colour:'red'"), param="query")


# -- invoices


@case
def a_draft_is_nothing_yet():
    of = customer()
    made = stripe.Invoice.create(customer=of.id, currency="eur", description="May", metadata={"number": "INV-7"})
    same((made.status, made.number, made.auto_advance, made.total, made.currency), ("draft", None, False, 0, "eur"))
    same((made.collection_method, made.due_date, made.lines.data), ("charge_automatically", None, []))
    changed = stripe.Invoice.modify(made.id, collection_method="send_invoice", days_until_due=30, number="INV-7")
    same((changed.due_date, changed.number), (made.created + 30 * DAY, "INV-7"))
    is_invalid(lambda: stripe.Invoice.create(customer=of.id, collection_method="send_invoice"), http_status=400)
    is_invalid(lambda: stripe.Invoice.create(customer=of.id, days_until_due=3), http_status=400)
    check(changed.delete().deleted, "it is not deleted")
    is_invalid(lambda: stripe.Invoice.retrieve(made.id), code="resource_missing", param="invoice")
    same(len(events("invoice.deleted", made)), 1)


@case
def lines_are_added_in_bulk():
    invoice = draft(customer(), ())
    lines = [{"amount": amount, "description": f"Line {amount}", "metadata": {"place": amount}} for amount in range(1, 251)]
    added = invoice.add_lines(lines=lines, invoice_metadata={"lines": "250"})
    same((added.total, added.metadata["lines"]), (sum(range(1, 251)), "250"))
    # Only some come with the invoice.
    same((len(added.lines.data), added.lines.has_more, added.lines.total_count), (10, True, 250))
    all_lines = list(stripe.Invoice.list_lines(invoice.id, limit=100).auto_paging_iter())
    same([line.amount for line in all_lines], list(range(250, 0, -1)))
    same(all_lines[-1].metadata["place"], "1")
    same([line.id for line in added.lines.auto_paging_iter()], [line.id for line in all_lines])
    for call in [invoice.add_lines, invoice.update_lines, invoice.remove_lines]:
        is_invalid(lambda: call(lines=[*lines, {"amount": 1}]), param="lines", http_status=400)
        is_invalid(lambda: call(lines=[]), code="parameter_missing", param="lines")
    same(stripe.Invoice.retrieve(invoice.id).lines.total_count, 250)
    # More calls can add more.
    same(invoice.add_lines(lines=[{"amount": -5}]).lines.total_count, 251)


@case
def lines_are_changed_and_removed():
    invoice = draft(customer(), (100, 200, 300))
    third, second, first = invoice.lines.data
    changed = invoice.update_lines(lines=[{"id": first.id, "amount": 150}, {"id": second.id, "description": "Two"}])
    same((changed.total, changed.lines.data[1].description), (650, "Two"))
    left = invoice.remove_lines(lines=[{"id": first.id, "behavior": "delete"}, {"id": third.id, "behavior": "unassign"}])
    same((left.total, [line.id for line in left.lines.data]), (200, [second.id]))
    pending = stripe.InvoiceItem.list(customer=invoice.customer, pending=True)
    same([item.amount for item in pending.data], [300])
    back = invoice.add_lines(lines=[{"invoice_item": pending.data[0].id}])
    same(back.total, 500)
    one = stripe.Invoice.retrieve(invoice.id).lines.data[0]
    same(stripe.InvoiceItem.list(customer=invoice.customer, pending=True).data, [])
    is_invalid(lambda: invoice.remove_lines(lines=[{"id": one.id}]), code="parameter_missing", param="lines[0][behavior]")
    is_invalid(lambda: invoice.update_lines(lines=[{"id": "il_none", "amount": 1}]), param="lines[0][id]")
    is_invalid(lambda: invoice.add_lines(lines=[{"amount": 1, "quantity": 2}]), param="lines[0][amount]")
    # A call of which one line is refused adds none.
    is_invalid(lambda: invoice.add_lines(lines=[{"amount": 1}, {"description": "nothing"}]), param="lines[1][amount]")
    same(stripe.Invoice.retrieve(invoice.id).total, 500)
    invoice.finalize_invoice()
    for call in [
        lambda: invoice.add_lines(lines=[{"amount": 1}]),
        lambda: invoice.update_lines(lines=[{"id": one.id, "amount": 1}]),
        lambda: invoice.remove_lines(lines=[{"id": one.id, "behavior": "delete"}]),
    ]:
        is_invalid(call, code="invoice_not_editable")


@case
def prices_and_taxes_make_totals():
    invoice = draft(customer(), ())
    price = {"currency": "usd", "unit_amount_decimal": "0.15", "product_data": {"name": "Tokens"}}
    tax = {"display_name": "VAT", "percentage": 19, "inclusive": False}
    lines = [
        {"price_data": price, "quantity": 1001, "tax_amounts": [{"amount": 29, "taxable_amount": 150, "tax_rate_data": tax}]},
        {"amount": 119, "tax_amounts": [{"amount": 19, "taxable_amount": 100, "tax_rate_data": tax | {"inclusive": True}}]},
        {"amount": -20, "description": "Credit"},
    ]
    done = invoice.add_lines(lines=lines)
    same((done.subtotal, done.total, done.total_excluding_tax), (150 + 119 - 20, 150 + 119 - 20 + 29, 230))
    same(sorted((tax.amount, tax.tax_behavior) for tax in done.total_taxes), [(19, "inclusive"), (29, "exclusive")])
    other = [{"price_data": price | {"currency": "eur"}, "quantity": 1}]
    is_invalid(lambda: invoice.add_lines(lines=other), param="lines[0][price_data][currency]")


@case
def pending_items_are_swept_only_when_asked():
    of = customer()
    item = stripe.InvoiceItem.create(customer=of.id, amount=250, currency="usd", description="Setup")
    same(stripe.Invoice.create(customer=of.id, currency="usd").total, 0)
    same(stripe.Invoice.create(customer=of.id, currency="usd", pending_invoice_items_behavior="exclude").total, 0)
    swept = stripe.Invoice.create(customer=of.id, currency="usd", pending_invoice_items_behavior="include")
    same((swept.total, swept.lines.data[0].description), (250, "Setup"))
    same(stripe.InvoiceItem.retrieve(item.id).invoice, swept.id)
    direct = stripe.InvoiceItem.create(customer=of.id, invoice=swept.id, amount=50, currency="usd")
    same(stripe.Invoice.retrieve(swept.id).total, 300)
    direct.delete()
    same(stripe.Invoice.retrieve(swept.id).total, 250)
    for _ in range(249):
        stripe.InvoiceItem.create(customer=of.id, invoice=swept.id, amount=1, currency="usd")
    is_invalid(lambda: stripe.InvoiceItem.create(customer=of.id, invoice=swept.id, amount=1, currency="usd"), http_status=400)


@case
def finalizing_numbers_and_ends_a_draft():
    of = payer()
    first, second = final(of), final(of)
    same((first.status, first.amount_due, first.amount_remaining, first.attempted), ("open", 1000, 1000, False))
    check(first.number.endswith("-0001") and second.number.endswith("-0002"), f"{first.number} {second.number}")
    same(first.number[:-5], second.number[:-5])
    check(first.status_transitions.finalized_at and first.hosted_invoice_url and first.invoice_pdf, f"{first}")
    same(final(of, number="INV-2026-1").number, "INV-2026-1")
    check(final(of).number.endswith("-0003"), "a number of one's own used up one of Stripe's")
    is_invalid(lambda: first.finalize_invoice(), http_status=400)
    is_invalid(lambda: first.delete(), http_status=400)
    is_invalid(lambda: stripe.Invoice.modify(first.id, description="x"), param="description")
    same(stripe.Invoice.modify(first.id, metadata={"a": "b"}).metadata["a"], "b")
    is_invalid(lambda: stripe.Invoice.finalize_invoice("in_none"), code="resource_missing", param="id", http_status=404)
    # An advance that is asked for is kept; finalizing alone charges nothing.
    same(draft(of).finalize_invoice(auto_advance=True).auto_advance, True)
    same(stripe.PaymentIntent.list(customer=of.id).data, [])


@case
def nothing_due_is_paid_at_once():
    of = customer()
    same(final(of, ()).status, "paid")
    # Too little to be collected is carried over, as is what is less than nothing.
    small = final(of, (30,))
    same((small.status, small.amount_due, small.ending_balance), ("paid", 0, 30))
    next_one = final(of, (100,))
    same((next_one.status, next_one.total, next_one.starting_balance, next_one.amount_due), ("open", 100, 30, 130))
    credit = final(of, (-500,))
    same((credit.status, credit.total, credit.amount_due, credit.ending_balance), ("paid", -500, 0, -500))
    after = final(of, (600,))
    same((after.total, after.amount_due, after.ending_balance), (600, 100, 0))
    same(stripe.Customer.retrieve(of.id).balance, 0)
    # What a void invoice took from the balance is given back.
    after.void_invoice()
    same(stripe.Customer.retrieve(of.id).balance, -500)
    odd = stripe.Invoice.create(customer=customer().id, currency="kwd")
    odd.add_lines(lines=[{"amount": 1001}])
    is_invalid(lambda: odd.finalize_invoice(), http_status=400)


@case
def paying_charges_the_card():
    of = payer()
    paid = final(of).pay()
    same((paid.status, paid.amount_paid, paid.amount_remaining, paid.attempt_count), ("paid", 1000, 0, 1))
    check(paid.status_transitions.paid_at, "it is not told when it was paid")
    [payment] = stripe.InvoicePayment.list(invoice=paid.id).data
    intent = stripe.PaymentIntent.retrieve(payment.payment.payment_intent)
    same((intent.status, intent.amount_received, intent.customer), ("succeeded", 1000, of.id))
    same(str(is_invalid(lambda: paid.pay()).user_message), "Invoice is already paid")
    is_invalid(lambda: paid.void_invoice(), http_status=400)
    is_invalid(lambda: paid.mark_uncollectible(), http_status=400)
    same([len(events(kind, paid)) for kind in ["invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed"]], [1, 1, 0])
    # A draft is finalized by that.
    same(draft(of).pay().status, "paid")
    # Who has no card cannot be charged, but can pay elsewhere.
    bare = final(customer())
    is_invalid(lambda: bare.pay(), code="resource_missing")
    outside = bare.pay(paid_out_of_band=True)
    same((outside.status, outside.attempted, outside.amount_remaining), ("paid", False, 0))
    same(stripe.InvoicePayment.list(invoice=bare.id).data, [])


@case
def a_declined_card_raises_a_card_error():
    of = payer("pm_card_chargeCustomerFail")
    invoice = final(of)
    error = raises(stripe.CardError, lambda: invoice.pay(), code="card_declined", http_status=402)
    same((error.error.type, error.error.decline_code), ("card_error", "generic_decline"))
    same(error.error.payment_intent.status, "requires_payment_method")
    left = stripe.Invoice.retrieve(invoice.id)
    same((left.status, left.attempted, left.attempt_count, left.amount_remaining), ("open", True, 1, 1000))
    same(len(events("invoice.payment_failed", invoice)), 1)
    # Another card works; so does the same card after a passing failure.
    good = stripe.PaymentMethod.attach("pm_card_visa", customer=of.id)
    same(invoice.pay(payment_method=good.id).status, "paid")
    raises(stripe.CardError, lambda: customer(payment_method="pm_card_visa_chargeDeclined"), code="card_declined")
    once = final(payer())
    fake("fault", on="POST /v1/invoices/*/pay", fault="declined", reason="insufficient_funds")
    error = raises(stripe.CardError, lambda: once.pay(), code="card_declined")
    same(error.error.decline_code, "insufficient_funds")
    same(once.pay().status, "paid")


@case
def invoices_are_sent_void_and_uncollectible():
    of = customer()
    sent = final(of, collection_method="send_invoice", days_until_due=14).send_invoice()
    same((sent.status, len(events("invoice.sent", sent))), ("open", 1))
    same(draft(of, collection_method="send_invoice", days_until_due=14).send_invoice().status, "open")
    void = final(of).void_invoice()
    same((void.status, bool(void.status_transitions.voided_at)), ("void", True))
    for call in [void.void_invoice, void.pay, void.mark_uncollectible, void.send_invoice, void.finalize_invoice]:
        is_invalid(call, http_status=400)
    lost = final(of).mark_uncollectible()
    same((lost.status, bool(lost.status_transitions.marked_uncollectible_at)), ("uncollectible", True))
    is_invalid(lambda: lost.mark_uncollectible(), http_status=400)
    same(final(of).mark_uncollectible().void_invoice().status, "void")
    same(lost.pay(paid_out_of_band=True).status, "paid")
    same([len(events(f"invoice.{what}", found)) for what, found in [("voided", void), ("marked_uncollectible", lost)]], [1, 1])
    for call in [draft(of).void_invoice, draft(of).mark_uncollectible]:
        is_invalid(call, http_status=400)


@case
def credit_notes_take_off_what_is_owed():
    invoice = final(payer())
    line = invoice.lines.data[0]
    note = stripe.CreditNote.create(invoice=invoice.id, amount=200, reason="order_change", memo="Late", metadata={"k": "v"})
    same((note.status, note.total, note.type, note.number), ("issued", 200, "pre_payment", f"{invoice.number}-CN-01"))
    left = stripe.Invoice.retrieve(invoice.id)
    same((left.amount_remaining, left.pre_payment_credit_notes_amount, left.total), (800, 200, 1000))
    same(stripe.CreditNote.create(
        invoice=invoice.id,
        lines=[
            {"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 100},
            {"type": "custom_line_item", "description": "Slow", "quantity": 2, "unit_amount": 50},
        ],
    ).total, 200)
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=601), param="amount")
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=0), param="amount")
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=5, refund_amount=5), http_status=400)
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=5, reason="why"), param="reason")
    too_much = [{"type": "invoice_line_item", "invoice_line_item": line.id, "amount": line.amount + 1}]
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, lines=too_much), param="lines[0][amount]")
    is_invalid(lambda: stripe.CreditNote.create(invoice=draft(customer()).id, amount=1), http_status=400)
    same(note.void_credit_note().status, "void")
    same(stripe.Invoice.retrieve(invoice.id).amount_remaining, 800)
    is_invalid(lambda: note.void_credit_note(), http_status=400)
    stripe.CreditNote.create(invoice=invoice.id, amount=800)
    same(stripe.Invoice.retrieve(invoice.id).status, "paid")
    same(len(stripe.CreditNote.list(invoice=invoice.id).data), 3)
    same([len(events(f"credit_note.{what}", note)) for what in ["created", "voided"]], [1, 1])


@case
def credit_notes_give_back_what_was_paid():
    of = payer()
    invoice = final(of).pay()
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=300), http_status=400)
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=300, refund_amount=200), http_status=400)
    note = stripe.CreditNote.create(invoice=invoice.id, amount=600, refund_amount=300, credit_amount=200, out_of_band_amount=100)
    same((note.type, note.post_payment_amount, note.refunds[0].amount_refunded), ("post_payment", 600, 300))
    same(stripe.Refund.retrieve(note.refunds[0].refund).amount, 300)
    same(stripe.Customer.retrieve(of.id).balance, -200)
    same(stripe.Invoice.retrieve(invoice.id).post_payment_credit_notes_amount, 600)
    is_invalid(lambda: stripe.CreditNote.create(invoice=invoice.id, amount=401, credit_amount=401), param="amount")
    is_invalid(lambda: note.void_credit_note(), http_status=400)
    outside = final(of).pay(paid_out_of_band=True)
    amount = outside.total
    is_invalid(lambda: stripe.CreditNote.create(invoice=outside.id, amount=amount, refund_amount=amount), param="refund_amount")


@case
def refunds_never_pass_the_charge():
    paid = final(payer()).pay(expand=["payments.data.payment.payment_intent"])
    intent = paid.payments.data[0].payment.payment_intent
    same(stripe.Refund.create(payment_intent=intent.id, amount=400, metadata={"k": "v"}).status, "succeeded")
    is_invalid(lambda: stripe.Refund.create(payment_intent=intent.id, amount=601), param="amount")
    same(stripe.Refund.create(charge=intent.latest_charge).amount, 600)
    is_invalid(lambda: stripe.Refund.create(charge=intent.latest_charge), code="charge_already_refunded")
    is_invalid(lambda: stripe.Refund.create(amount=1), http_status=400)
    charge = stripe.Charge.retrieve(intent.latest_charge)
    same((charge.refunded, charge.amount_refunded, len(events("charge.refunded", charge))), (True, 1000, 2))


# -- pages of Stripe


@case
def a_checkout_takes_a_payment():
    of = customer()
    price = {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Credit"}}
    fields = {
        "mode": "payment", "customer": of.id, "success_url": "https://gateway.example/done",
        "line_items": [{"price_data": price, "quantity": 4}], "metadata": {"grant": "g1"},
        "payment_intent_data": {"metadata": {"grant": "g1"}},
    }  # fmt: skip
    session = stripe.checkout.Session.create(**fields)
    same((session.status, session.payment_status, session.amount_total), ("open", "unpaid", 2000))
    check(session.url.startswith("https://checkout.stripe.com/"), session.url)
    refused = fake("visit", session=session.id, visit="completes", card="pm_card_visa_chargeDeclined")
    same(refused["error"]["code"], "card_declined")
    fake("visit", session=session.id, visit="completes", card="pm_card_visa")
    done = stripe.checkout.Session.retrieve(session.id, expand=["payment_intent"])
    same((done.status, done.payment_status, done.payment_intent.metadata["grant"]), ("complete", "paid", "g1"))
    same(len(events("checkout.session.completed", session)), 1)
    is_invalid(lambda: done.expire(), http_status=400)
    # Money that comes later is not there yet.
    late = stripe.checkout.Session.create(**fields)
    fake("visit", session=late.id, visit="promises")
    same((events("checkout.session.completed", late)[0].data.object.payment_status), "unpaid")
    fake("visit", session=late.id, visit="settles")
    same(events("checkout.session.async_payment_succeeded", late)[0].data.object.payment_status, "paid")
    over = stripe.checkout.Session.create(**fields)
    same(over.expire().status, "expired")
    for name in ["mode", "success_url", "line_items"]:
        less = {key: value for key, value in fields.items() if key != name}
        is_invalid(lambda: stripe.checkout.Session.create(**less), code="parameter_missing", param=name)


@case
def a_checkout_leaves_a_card():
    of = customer()
    session = stripe.checkout.Session.create(
        mode="setup", customer=of.id, currency="usd", success_url="https://gateway.example/done"
    )
    same((session.amount_total, session.payment_status), (None, "no_payment_required"))
    fake("visit", session=session.id, visit="completes", card="pm_card_visa")
    done = stripe.checkout.Session.retrieve(session.id, expand=["setup_intent.payment_method"])
    same((done.status, done.setup_intent.payment_method.customer), ("complete", of.id))
    same(done.setup_intent.payment_method.card.last4, "4242")
    # It does not become what invoices are charged to.
    is_invalid(lambda: final(of).pay(), code="resource_missing")
    method = done.setup_intent.payment_method.id
    stripe.Customer.modify(of.id, invoice_settings={"default_payment_method": method})
    same(final(of).pay().status, "paid")
    is_invalid(lambda: stripe.checkout.Session.create(mode="setup", success_url="https://x.example"), http_status=400)
    same([found.id for found in stripe.PaymentMethod.list(customer=of.id, type="card").data], [method])


@case
def the_portal_opens_for_customers():
    of = customer()
    session = stripe.billing_portal.Session.create(customer=of.id, return_url="https://gateway.example/back")
    same((session.object, session.customer), ("billing_portal.session", of.id))
    check(session.url.startswith("https://billing.stripe.com/"), session.url)
    is_invalid(lambda: stripe.billing_portal.Session.create(customer="cus_none"), param="customer", http_status=400)


# -- time


@case
def a_test_clock_stands_until_it_is_advanced():
    start = 1_767_225_600
    clock = stripe.test_helpers.TestClock.create(frozen_time=start, name="year")
    of = payer()
    living = customer(test_clock=clock.id, payment_method="pm_card_visa",
                      invoice_settings={"default_payment_method": "pm_card_visa"})  # fmt: skip
    same((living.test_clock, living.created), (clock.id, start))
    waiting = draft(living, auto_advance=True)
    staying = draft(living)
    other = draft(of, auto_advance=True)
    same((waiting.created, waiting.automatically_finalizes_at), (start, start + 3600))
    advancing = clock.advance(frozen_time=start + 3600)
    same(advancing.status, "advancing")
    same(stripe.test_helpers.TestClock.retrieve(clock.id).status, "ready")
    # Only what advances by itself, and only what lives in the clock.
    found = [stripe.Invoice.retrieve(invoice.id) for invoice in [waiting, staying, other]]
    same([invoice.status for invoice in found], ["paid", "draft", "draft"])
    same(found[0].status_transitions.paid_at, start + 3600)
    is_invalid(lambda: clock.advance(frozen_time=start), param="frozen_time")
    is_invalid(lambda: customer(test_clock="clock_none"), param="test_clock")
    for _ in range(2):
        customer(test_clock=clock.id)
    is_invalid(lambda: customer(test_clock=clock.id), param="test_clock")
    clock.delete()
    check(stripe.Customer.retrieve(living.id).deleted, "a customer outlived its clock")


# -- the same request twice


@case
def the_same_key_replays_the_answer():
    key = str(uuid.uuid4())
    first = customer(idempotency_key=key)
    again = customer(idempotency_key=key)
    same((again.id, again.last_response.body), (first.id, first.last_response.body))
    headers = again.last_response.headers
    same(headers["Idempotent-Replayed"], "true")
    same(headers["Original-Request"], first.last_response.headers["Request-Id"])
    check("Idempotent-Replayed" not in first.last_response.headers, "the first answer is no repetition")
    check(customer().id != first.id, "another key replays as well")


@case
def the_same_key_with_another_request_is_an_error():
    key = str(uuid.uuid4())
    made = customer(idempotency_key=key)
    error = raises(stripe.IdempotencyError, lambda: customer(balance=5, idempotency_key=key), http_status=400)
    same(error.error.type, "idempotency_error")
    error = raises(stripe.IdempotencyError, lambda: stripe.Invoice.create(customer=made.id, idempotency_key=key))
    check("same endpoint" in str(error), f"{error}")
    same(customer(idempotency_key=key).id, made.id)
    is_invalid(lambda: customer(idempotency_key="k" * 256), http_status=400)


@case
def a_key_lives_for_a_day():
    key = str(uuid.uuid4())
    first = customer(idempotency_key=key)
    fake("clock", seconds=DAY - 60)
    same(customer(idempotency_key=key).id, first.id)
    fake("clock", seconds=60)
    check(customer(idempotency_key=key).id != first.id, "the key is older than a day")


@case
def a_kept_failure_is_replayed_too():
    of = customer()
    for fault, is_made in [("break_before", False), ("break_after", True)]:
        key = str(uuid.uuid4())
        create = lambda: stripe.Invoice.create(customer=of.id, metadata={"key": key}, idempotency_key=key)
        fake("fault", on="POST /v1/invoices", fault=fault)
        error = raises(stripe.APIError, create, http_status=500)
        same(error.headers["Stripe-Should-Retry"], "false")
        error = raises(stripe.APIError, create, http_status=500)
        same(error.headers["Idempotent-Replayed"], "true")
        made = [found for found in stripe.Invoice.list(customer=of.id).data if found.metadata["key"] == key]
        same(len(made), int(is_made))
        # Only another key does the work.
        stripe.Invoice.create(customer=of.id, metadata={"key": key}, idempotency_key=f"{key}-2")
    # A card that was declined is such a failure, a parameter that is wrong is none.
    invoice = final(payer())
    key = str(uuid.uuid4())
    fake("fault", on="POST /v1/invoices/*/pay", fault="declined", reason="generic_decline")
    for _ in range(2):
        raises(stripe.CardError, lambda: invoice.pay(idempotency_key=key))
    same(stripe.Invoice.retrieve(invoice.id).attempt_count, 1)
    key = str(uuid.uuid4())
    is_invalid(lambda: stripe.Customer.create(nickname="x", idempotency_key=key))
    check(customer(idempotency_key=key).id, "the key was used up by a request that was not begun")


@case
def a_key_in_use_is_a_conflict():
    key = str(uuid.uuid4())
    fake("fault", on="POST /v1/customers", fault="hold")
    made = []
    first = threading.Thread(target=lambda: made.append(customer(idempotency_key=key)))
    first.start()
    while not [call for call in fake("calls", on="POST /v1/customers") if call["key"] == key]:
        time.sleep(0.01)
    try:
        again = lambda: customer(idempotency_key=key)
        error = raises(stripe.APIError, again, http_status=409, code="idempotency_key_in_use")
        same(error.headers["Stripe-Should-Retry"], "true")
    finally:
        fake("let_go")
        first.join()
    same(customer(idempotency_key=key).id, made[0].id)


# -- what goes wrong


@case
def a_lost_reply_leaves_the_work_done():
    of = customer()
    for fault, count in [("lose_request", 0), ("lose_reply", 1)]:
        key = str(uuid.uuid4())
        create = lambda: stripe.Invoice.create(customer=of.id, metadata={"key": key}, idempotency_key=key)
        fake("fault", on="POST /v1/invoices", fault=fault)
        raises(stripe.APIConnectionError, create)
        made = lambda: [found.id for found in stripe.Invoice.list(customer=of.id).data if found.metadata["key"] == key]
        same(len(made()), count)
        again = create()
        same(made(), [again.id])
        same("Idempotent-Replayed" in again.last_response.headers, fault == "lose_reply")
    same([call["is_lost"] for call in fake("calls", on="POST /v1/invoices")][-4:], [True, False, True, False])


@case
def too_many_requests_are_refused():
    key = str(uuid.uuid4())
    for nth, said in [(1, {"retry_after": 7}), (2, {})]:
        fake("fault", on="POST /v1/customers", nth=nth, fault="rate_limited", **said)
    error = raises(stripe.RateLimitError, lambda: customer(idempotency_key=key), http_status=429, code="rate_limit")
    same(error.headers["Retry-After"], "7")
    error = raises(stripe.RateLimitError, lambda: customer(idempotency_key=key), http_status=429)
    check("Retry-After" not in error.headers, f"{error.headers}")
    made = customer(idempotency_key=key)
    check("Idempotent-Replayed" not in made.last_response.headers, "a refusal was kept")
    fake("fault", on="POST /v1/customers", fault="lock_timeout")
    error = raises(stripe.RateLimitError, lambda: customer(), code="lock_timeout")
    same(error.headers["Stripe-Should-Retry"], "true")


@case
def the_client_retries_by_itself():
    of = customer()
    with_retries = stripe.StripeClient(KEY, base_addresses={"api": ORIGIN}, max_network_retries=2)
    fake("fault", on="POST /v1/invoices", fault="lose_reply")
    fake("fault", on="POST /v1/invoices", nth=2, fault="lock_timeout")
    invoice = with_retries.v1.invoices.create({"customer": of.id})
    same(invoice.last_response.headers["Idempotent-Replayed"], "true")
    same([found.id for found in stripe.Invoice.list(customer=of.id).data], [invoice.id])


@case
def a_total_can_be_wrong():
    invoice = draft(customer(), ())
    fake("fault", on=f"POST /v1/invoices/{invoice.id}/add_lines", fault="wrong_total", by=1)
    wrong = invoice.add_lines(lines=[{"amount": 700}, {"amount": 300}])
    same((wrong.total, sum(line.amount for line in wrong.lines.data)), (1001, 1000))
    same(stripe.Invoice.retrieve(invoice.id).amount_due, 1001)
    same(draft(customer()).total, 1000)


# -- events


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks, and refuses as many as it is told."""

    got, refusing = [], 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Receiver.got.append((body, self.headers["Stripe-Signature"]))
        status = 200
        if Receiver.refusing:
            Receiver.refusing, status = Receiver.refusing - 1, 500
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()


def deliver(delivery):
    Receiver.got.clear()
    fake("webhooks", url=f"http://127.0.0.1:{receiver.server_port}/hook", secrets=SECRETS, delivery=delivery)


def received(count):
    """So many webhooks, checked as Stripe's client checks them, and no more."""
    until = time.monotonic() + 60
    while len(Receiver.got) < count and time.monotonic() < until:
        time.sleep(0.01)
    same(len(Receiver.got), count)
    return [stripe.Webhook.construct_event(body, signature, SECRETS[0]) for body, signature in Receiver.got]


@case
def events_are_signed_and_sent():
    deliver("as_happens")
    key = str(uuid.uuid4())
    made = customer(metadata={"k": "v"}, idempotency_key=key)
    [event] = received(1)
    same((event.request.idempotency_key, event.pending_webhooks), (key, 1))
    same((event.type, event.data.object.id, event.data.object.metadata["k"]), ("customer.created", made.id, "v"))
    same((event.api_version, event.livemode, event.request.id), (stripe.api_version, False, made.last_response.headers["Request-Id"]))
    same(stripe.Event.retrieve(event.id).to_dict(), event.to_dict())
    made.delete()
    same(received(2)[1].type, "customer.deleted")
    found = stripe.Event.list(types=["customer.deleted", "customer.created"], limit=2)
    same([event.type for event in found.data], ["customer.deleted", "customer.created"])
    same({event.type for event in stripe.Event.list(type="customer.created").data}, {"customer.created"})
    body, signature = Receiver.got[0]
    same(signature.count(",v1="), 2)
    # Each of the two secrets fits, another does not, nor does another body.
    stripe.Webhook.construct_event(body, signature, SECRETS[1])
    for changed, secret in [(body, "whsec_other"), (body + b" ", SECRETS[0])]:
        raises(stripe.SignatureVerificationError, lambda: stripe.Webhook.construct_event(changed, signature, secret))


@case
def old_and_forged_events_are_recognized():
    deliver("held")
    made = customer()
    [event] = events("customer.created", made)
    for stamp, is_good in [
        ({"stamp": "fresh"}, True),
        ({"stamp": "stale", "seconds": 290}, True),
        ({"stamp": "stale", "seconds": 310}, False),
        ({"stamp": "wrong_secret"}, False),
        ({"stamp": "unsigned"}, False),
    ]:
        Receiver.got.clear()
        same(fake("resend", event=event.id, **stamp)["status"], 200)
        if is_good:
            same(received(1)[0].id, event.id)
        else:
            raises(stripe.SignatureVerificationError, lambda: received(1))


@case
def events_come_in_every_order():
    deliver("held")
    invoice = final(payer()).pay()
    held = [event.type for event in stripe.Event.list(limit=100).auto_paging_iter()]
    count = held.index("customer.created") + 1
    check(count >= 8, f"{held[:count]}")
    same(Receiver.got, [])
    sent = fake("release", order="reversed")
    found = received(len(sent))
    same([event.type for event in found][: count], held[:count])
    check(found[0].created >= found[-1].created, "they are not reversed")
    same({event.data.object.status for event in found if event.type == "invoice.paid"}, {"paid"})
    deliver("twice")
    made = customer()
    same([event.data.object.id for event in received(2)], [made.id] * 2)
    same(len({event.id for event in received(2)}), 1)
    deliver("dropped")
    lost = customer()
    same((len(events("customer.created", lost)), fake("release", order="as_happened"), Receiver.got), (1, [], []))
    check(invoice.id, "no invoice")


@case
def what_was_refused_comes_again():
    deliver("as_happens")
    Receiver.refusing = 1
    made = customer()
    [first] = received(1)
    again = []
    while not again:
        again = fake("release", order="as_happened")
    same([(sent["event"], sent["status"]) for sent in again], [(first.id, 200)])
    same([event.data.object.id for event in received(2)], [made.id] * 2)
    same(fake("release", order="as_happened"), [])


if __name__ == "__main__":
    run()
