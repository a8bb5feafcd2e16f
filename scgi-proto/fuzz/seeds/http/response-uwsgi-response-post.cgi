Status: 200 OK
Content-Type: text/plain
Content-Length: 18

POST /echo len=10
