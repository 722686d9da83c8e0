"""Judges the exported charges in the file that FOCUS_FILE names by the rules of FOCUS 1.0, one case for each rule."""

import os
import sys

import focus_validator
import pandas
from focus_validator.config_objects.common import ChecklistObjectStatus
from focus_validator.rules.spec_rules import SpecRules
from focus_validator.validator import DEFAULT_VERSION_SETS_PATH

DECIMALS = {
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost",
    "ListUnitPrice", "PricingQuantity",
}  # fmt: skip

file = os.environ["FOCUS_FILE"]
columns = list(pandas.read_csv(file, nrows=0))
# A column of texts that is empty throughout would be read as one of numbers.
types = {name: float if name in DECIMALS else str for name in columns}
charges = pandas.read_csv(file, dtype=types, keep_default_na=False, na_values=[""])

# Version 1.0.0 of the validator still has names of before FOCUS 1.0 for some columns. It is given those, so that every
# rule judges what it is about.
charges = charges.rename(
    columns={
        "InvoiceIssuerName": "InvoiceIssuer",
        "ProviderName": "Provider",
        "PublisherName": "Publisher",
        "ResourceId": "ResourceID",
    }
)
charges["ChargeType"] = charges["ChargeCategory"]
# It looks for its list of currencies from the folder in which it is installed.
os.chdir(os.path.dirname(os.path.dirname(focus_validator.__file__)))

rules = SpecRules(
    override_filename=None,
    rule_set_path=DEFAULT_VERSION_SETS_PATH,
    rules_version="1.0",
    column_namespace=None,
)
rules.load()
result = rules.validate(charges)
failed = 0
for name, check in sorted(result.checklist.items()):
    if check.status == ChecklistObjectStatus.PASSED:
        print(f"ok {name}")
    else:
        failed += 1
        print(f"FAIL {name}: {check.status} {check.friendly_name} {check.error}")
if result.failure_cases is not None:
    print(result.failure_cases.to_string())
sys.exit(1 if failed else 0)
