"""urllib: `get URL...` prints status and body of each; no keep-alive, as urllib has none. STRICT=1: RFC 5280 to the letter."""
import os
import ssl
import sys
import urllib.error
import urllib.request

context = ssl.create_default_context()
if os.environ.get("STRICT"):
    context.verify_flags |= ssl.VERIFY_X509_STRICT
status = 0
for url in sys.argv[2:]:
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + os.environ["API_KEY"]})
    try:
        answer = urllib.request.urlopen(request, context=context, timeout=20)
    except urllib.error.HTTPError as error:
        answer, status = error, 22
    print(answer.status, answer.read().decode())
sys.exit(status)
