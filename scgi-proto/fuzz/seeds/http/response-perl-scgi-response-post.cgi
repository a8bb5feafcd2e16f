Content-Type: text/plain

hello /echo 10
