Status: 302 Found
Location: http://other.example/
Content-Length: 0

