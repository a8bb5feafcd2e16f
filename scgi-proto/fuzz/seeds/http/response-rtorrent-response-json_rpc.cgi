Status: 200 OK
Content-Type: text/xml
Content-Length: 356

<?xml version="1.0" encoding="UTF-8"?>
<methodResponse>
<fault>
<value><struct>
<member><name>faultCode</name>
<value><i4>-503</i4></value></member>
<member><name>faultString</name>
<value><string>Call XML not a proper XML-RPC call.  Call is not valid XML.  not well-formed</string></value></member>
</struct></value>
</fault>
</methodResponse>
