Content-Type: text/plain

hello /h 0
