Content-Type: text/plain

hello /x 0
