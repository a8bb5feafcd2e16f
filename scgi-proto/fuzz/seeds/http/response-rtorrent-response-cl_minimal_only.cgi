Status: 200 OK
Content-Type: text/xml
Content-Length: 152

<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<params>
<param><value><string>0.9.8</string></value></param>
</params>
</methodResponse>
