Status: 200 OK
Content-Type: text/plain
Content-Length: 13

GET /x len=0
