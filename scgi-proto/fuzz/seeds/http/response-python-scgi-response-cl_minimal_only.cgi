Content-Type: text/plain; charset=utf-8

CONTENT_LENGTH: '0'
