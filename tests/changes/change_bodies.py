"""Bodies in the exact shapes of their senders: CDEvents 0.4 to 0.6, CloudEvents 1.0, PagerDuty Events v2, GitHub webhooks."""

from typing import Any

__all__ = ["DEPLOYED", "PAGERDUTY", "PLAIN", "PUSHED", "RELEASED", "cdevent", "cloudevent"]

PLAIN: dict[str, Any] = {
    "kind": "prompt",
    "title": "shorter answers",
    "at": "2026-09-21T12:00:00Z",
    "app": "bot",
    "before": "v12",
    "after": "v13",
    "author": "ann",
}


def cdevent(name: str, content: dict[str, Any] | None = None, subject: str = "service/shop-bot") -> dict[str, Any]:
    """A CDEvent of this type, as the conformance files of its specification have it."""
    return {
        "context": {
            "version": "0.5.0",
            "id": "1f2c7a52-6d8e-4f0b-9f5a-0f6f4f0c4c11",
            "chainId": "8d2f7b0e-8f2b-4a55-9b54-3c9a6c1d2e77",
            "source": "/ci/shop/pipelines/77",
            "type": name,
            "timestamp": "2026-09-21T12:00:00.315384Z",
            "schemaUri": "https://shop.example/schema/custom",
            "links": [{"linkType": "END", "from": {"contextId": "5c1d6c4e-0b8e-4ce6-9d1d-4a5a2a4c9f10"}}],
        },
        "subject": {
            "id": subject,
            "source": "/ci/shop",
            "type": name.split(".")[2],
            "content": {
                "environment": {"id": "production", "source": "/clusters/eu"},
                "artifactId": "pkg:oci/shop-bot@sha256%3A7f83b1657ff1fc53",
            }
            if content is None
            else content,
        },
        "customData": {"approvals": 2, "board": {"ticket": "OPS-7"}},
        "customDataContentType": "application/json",
    }


def cloudevent(data: Any, name: str = "com.example.thing.updated") -> dict[str, Any]:
    """A CloudEvent in structured mode."""
    return {
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "source": "/staging/tekton/",
        "type": name,
        "subject": "answers",
        "time": "2026-09-21T12:00:00Z",
        "datacontenttype": "application/json",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data": data,
    }


PAGERDUTY: dict[str, Any] = {
    "routing_key": "e93facc04764012d7bfb002500d5d1a6",
    "payload": {
        "summary": "Build Success: prompt v13 for the returns desk",
        "timestamp": "2026-09-21T12:00:00.315+0000",
        "source": "shop-build-pipeline-i-9999",
        "custom_details": {"build_state": "passed", "build_number": "2", "app": "bot", "version": "v13"},
    },
    "links": [{"href": "https://shop.example/build/2", "text": "View more details"}],
}

_USER = {
    "login": "ann-dev",
    "id": 21031067,
    "node_id": "MDQ6VXNlcjIxMDMxMDY3",
    "avatar_url": "https://avatars1.githubusercontent.com/u/21031067?v=4",
    "html_url": "https://github.com/ann-dev",
    "type": "User",
    "site_admin": False,
}
_REPOSITORY = {
    "id": 186853002,
    "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
    "name": "shop-bot",
    "full_name": "shop/shop-bot",
    "private": True,
    "owner": _USER,
    "html_url": "https://github.com/shop/shop-bot",
    "default_branch": "main",
    "pushed_at": 1789992000,
}
DEPLOYED: dict[str, Any] = {
    "action": "created",
    "deployment_status": {
        "url": "https://api.github.com/repos/shop/shop-bot/deployments/145988746/statuses/209916254",
        "id": 209916254,
        "state": "success",
        "creator": _USER,
        "description": "",
        "environment": "Production",
        "target_url": "https://github.com/shop/shop-bot/actions/runs/7",
        "created_at": "2026-09-21T12:00:00Z",
        "updated_at": "2026-09-21T12:00:00Z",
    },
    "deployment": {
        "url": "https://api.github.com/repos/shop/shop-bot/deployments/145988746",
        "id": 145988746,
        "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
        "ref": "main",
        "task": "deploy",
        "payload": {"ring": "one"},
        "original_environment": "production",
        "environment": "Production",
        "description": None,
        "creator": _USER,
        "created_at": "2026-09-21T11:58:00Z",
        "updated_at": "2026-09-21T12:00:00Z",
    },
    "repository": _REPOSITORY,
    "sender": _USER,
}
RELEASED: dict[str, Any] = {
    "action": "published",
    "release": {
        "html_url": "https://github.com/shop/shop-bot/releases/tag/1.4.0",
        "id": 17372790,
        "tag_name": "1.4.0",
        "target_commitish": "main",
        "name": "",
        "draft": False,
        "author": _USER,
        "prerelease": False,
        "created_at": "2026-09-21T11:00:00Z",
        "published_at": "2026-09-21T12:00:00Z",
        "assets": [],
        "body": "",
    },
    "repository": _REPOSITORY,
    "sender": _USER,
}
PUSHED: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
    "after": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
    "created": False,
    "deleted": False,
    "forced": False,
    "base_ref": None,
    "compare": "https://github.com/shop/shop-bot/compare/6113728f27ae...0d1a26e67d8f",
    "commits": [{"id": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c", "message": "Answer in two sentences\n\nBecause."}],
    "head_commit": {
        "id": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
        "message": "Answer in two sentences\n\nBecause.",
        "timestamp": "2026-03-01T08:00:00+02:00",
    },
    "repository": _REPOSITORY,
    "pusher": {"name": "ann-dev", "email": "ann@shop.example"},
    "sender": _USER,
}
