Status: 200 OK
Content-Type: text/plain
Set-Cookie: a=1
Set-Cookie: b=2
Content-Length: 2

c
