Status: 200 OK
Content-Type: text/plain
Content-Length: 14

HEAD /h len=0
