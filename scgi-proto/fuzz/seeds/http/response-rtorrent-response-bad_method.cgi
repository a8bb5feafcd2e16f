Status: 200 OK
Content-Type: text/xml
Content-Length: 308

<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<fault>
<value><struct>
<member><name>faultCode</name>
<value><i4>-506</i4></value></member>
<member><name>faultString</name>
<value><string>Method 'no.such' not defined</string></value></member>
</struct></value>
</fault>
</methodResponse>
