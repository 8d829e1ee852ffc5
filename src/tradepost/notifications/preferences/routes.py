"""``/notifications/preferences``: one's own."""

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.core.errors import Unauthenticated
from tradepost.notifications.preferences.dependencies import PreferenceReads, PreferenceWrites
from tradepost.notifications.preferences.schemas import PreferencesChange, PreferencesRead
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.router import Router

router = Router(prefix="/notifications/preferences", tags=["notifications"])


@router.get("", responses=problem_responses(Unauthenticated))
async def read_preferences(principal: CurrentPrincipal, preferences: PreferenceReads) -> PreferencesRead:
    """Return what one is told, and over which channels. The live stream shows what comes into the inbox."""
    return await preferences.get(principal)


@router.put("", responses=problem_responses(Unauthenticated))
async def change_preferences(
    changes: PreferencesChange, principal: CurrentPrincipal, preferences: PreferenceWrites
) -> PreferencesRead:
    """Choose what to be told: only the kinds and channels that are sent change, `null` goes back to the default."""
    return await preferences.change(changes, principal)
