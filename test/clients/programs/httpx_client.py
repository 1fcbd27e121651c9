"""httpx, one client, as the SDKs of model APIs use it: `get URL...`, and `stream URL ACK` like requests_client.py."""
import os
import sys

import httpx

client = httpx.Client(headers={"Authorization": "Bearer " + os.environ["API_KEY"]}, timeout=20)


def get(urls):
    status = 0
    for url in urls:
        answer = client.get(url)
        print(answer.status_code, answer.text)
        status = status if answer.is_success else 22
    return status


def stream(url, ack):
    with client.stream("POST", url, json={"stream": True}) as answer:
        asked = False
        for line in answer.iter_lines():
            if not line.strip():
                continue
            print(line.strip(), flush=True)
            if not asked:
                asked = True
                client.post(ack)
    return 0


sys.exit(get(sys.argv[2:]) if sys.argv[1] == "get" else stream(*sys.argv[2:]))
