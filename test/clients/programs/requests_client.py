"""requests, one session: `get URL...` prints status and body of each; `stream URL ACK` asks for ACK once the first event is there."""
import os
import sys

import requests

session = requests.Session()
session.headers["Authorization"] = "Bearer " + os.environ["API_KEY"]


def get(urls):
    status = 0
    for url in urls:
        answer = session.get(url, timeout=20)
        print(answer.status_code, answer.text)
        status = status if answer.ok else 22
    return status


def stream(url, ack):
    with session.post(url, json={"stream": True}, stream=True, timeout=20) as answer:
        asked = False
        for line in answer.iter_lines(chunk_size=1):
            if not line:
                continue
            print(line.decode(), flush=True)
            if not asked:
                asked = True
                session.post(ack, timeout=20)
    return 0


sys.exit(get(sys.argv[2:]) if sys.argv[1] == "get" else stream(*sys.argv[2:]))
