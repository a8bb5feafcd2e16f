Content-Type: text/plain; charset=utf-8

