"""The age of certificates: after so many days, or calls of the task, the traffic is no longer what was calibrated on.

Pure: times and counts in, verdicts and words out.
"""

from __future__ import annotations

from deputize.core.records import Certificate

DAY_S = 86_400.0


def expired(certificate: Certificate, now_s: float) -> bool:
    """True once a certificate is older than it may become; the calls of its route go to the LLM then.

    So it is where the clock is more than a day behind the certificate's date: then nobody knows how old it is.

    Args:
        certificate: one without a date, or without a limit, does not expire.
        now_s: Unix seconds; 0: nobody knows, so nothing is expired.
    """
    limit, created_s = certificate.renew_after_days, certificate.created_s
    if not created_s or not limit or not now_s:
        return False
    return now_s > created_s + limit * DAY_S or _is_ahead(certificate, now_s)


def _is_ahead(certificate: Certificate, now_s: float) -> bool:
    return certificate.created_s > now_s + DAY_S


def renewal(certificate: Certificate, now_s: float, n_calls: int = 0) -> str:
    """Why a certificate must be renewed, as the end of a sentence; "" where it need not be yet.

    Args:
        certificate: the certificate.
        now_s: Unix seconds.
        n_calls: calls that its route has matched since it was made.
    """
    if expired(certificate, now_s):
        if _is_ahead(certificate, now_s):
            return f"its certificate is dated {(certificate.created_s - now_s) / DAY_S:.0f} days after today's date"
        age = (now_s - certificate.created_s) / DAY_S
        return f"its certificate is {age:.0f} days old and held for {certificate.renew_after_days:g}"
    most = certificate.renew_after_calls
    if most and n_calls > most:
        return f"its certificate was made {n_calls:,} calls ago and held for {most:,}"
    return ""
