Status: 200 OK
Content-Type: text/plain

line 0
line 1
line 2
line 3
line 4
