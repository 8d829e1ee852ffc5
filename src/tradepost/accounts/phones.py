"""Phone numbers: read as people write them, kept in E.164 (ITU-T), and judged by each country's own numbering plan.

A count of digits is no judge: Andorra's and Greenland's numbers have six digits, a desk in Vienna or Munich may have four,
and ten zeros are nobody's.
"""

import phonenumbers

from tradepost.core.errors import Unprocessable

_FIELD = ("body", "phone")


def parsed_phone(number: str, region: str) -> str:
    """Return ``number`` in E.164, or raise ``Unprocessable``; ``region`` (ISO 3166) is the country of one without its code.

    What is returned is taken again, unchanged.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException as error:
        raise Unprocessable(
            _FIELD, "A phone number has digits, with + and a country's code or without"
        ) from error
    if parsed.extension:
        # E.164 has no room for one, and a number without its extension is somebody else's.
        raise Unprocessable(_FIELD, "A phone number is kept without an extension")
    if not phonenumbers.is_valid_number(parsed):
        raise Unprocessable(_FIELD, "A phone number is one that its country gives out")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
